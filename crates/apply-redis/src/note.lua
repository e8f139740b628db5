-- Changes an open plan for the attempt that holds it.
-- KEYS: open plans
-- ARGV: plan, how the entry begins while the attempt holds it, new entry
-- Returns 1 where it is changed (now or since an answer was lost), else 0.
local entry = redis.call('HGET', KEYS[1], ARGV[1])
if not entry or string.sub(entry, 1, #ARGV[2]) ~= ARGV[2] then
  return 0
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1
