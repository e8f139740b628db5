-- Concludes a plan for the position brain: permit and acknowledgement together.
-- KEYS: plan stream, permit, ledger
-- ARGV: group, entry, permit text, permit ttl, expected ledger version
-- Returns {how, seconds, microseconds}; how: 1 written, 0 outdated, -1 done by another.
local time = redis.call('TIME')
local function answer(how)
  return {how, tonumber(time[1]), tonumber(time[2])}
end
if #redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[2], ARGV[2], 1) == 0 then
  return answer(-1)
end
if (redis.call('HGET', KEYS[3], 'version') or '0') ~= ARGV[5] then
  return answer(0)
end
redis.call('SET', KEYS[2], ARGV[3], 'EX', ARGV[4])
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
return answer(1)
