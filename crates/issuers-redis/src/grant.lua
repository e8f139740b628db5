-- Concludes a plan for the governor: permit, acknowledgement, usage and kill switch together.
-- KEYS: plan stream, permit, usage, kill switch, kill reason
-- ARGV: group, entry, permit text, permit ttl, trip reason or '', what turns the switch on,
--       expected usage version or '', usage ttl, execution's field, execution, expired fields...
-- Returns {how, seconds, microseconds}; how: 1 written, 0 outdated, -1 done by another.
local time = redis.call('TIME')
local function answer(how)
  return {how, tonumber(time[1]), tonumber(time[2])}
end
if #redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[2], ARGV[2], 1) == 0 then
  return answer(-1)
end
if ARGV[7] ~= '' then
  if (redis.call('HGET', KEYS[3], 'version') or '0') ~= ARGV[7] then
    return answer(0)
  end
  -- Counted before it is granted: where the server is out of memory, nothing is granted.
  redis.call('HSET', KEYS[3], ARGV[9], ARGV[10])
  redis.call('HINCRBY', KEYS[3], 'version', 1)
  for i = 11, #ARGV do
    redis.call('HDEL', KEYS[3], ARGV[i])
  end
  redis.call('EXPIRE', KEYS[3], ARGV[8])
end
-- Another word that halts is replaced: its writer may take it back. So is a key of another type.
if ARGV[5] ~= '' and redis.pcall('GET', KEYS[4]) ~= ARGV[6] then
  redis.call('SET', KEYS[4], ARGV[6])
  redis.call('SET', KEYS[5], ARGV[5])
end
redis.call('SET', KEYS[2], ARGV[3], 'EX', ARGV[4])
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
return answer(1)
