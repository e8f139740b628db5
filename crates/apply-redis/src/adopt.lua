-- Hands an open plan to another attempt, unless somebody changed it since it was read.
-- KEYS: open plans
-- ARGV: plan, the entry as it was read, how it begins once it is handed over, new entry
-- Returns 1 where it is handed over (now or since an answer was lost), else 0.
local entry = redis.call('HGET', KEYS[1], ARGV[1])
if not entry then
  return 0
end
if entry == ARGV[2] then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[4])
  return 1
end
return string.sub(entry, 1, #ARGV[3]) == ARGV[3] and 1 or 0
