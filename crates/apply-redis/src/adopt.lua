-- Hands an open plan to another attempt, unless somebody changed it since it was read.
-- KEYS: open plans, generation
-- ARGV: plan, the entry as it was read, how it begins once it is handed over, new entry, new generation
-- Returns {word, id, began, age, known}: 'held' where it is handed over (now or since an answer was lost),
-- else 'taken'.
local entry = read('HGET', KEYS[1], ARGV[1])
local now = generation(KEYS[2], ARGV[5])
if wrong then
  return wrong
end
local held = begins(entry, ARGV[3])
if entry == ARGV[2] then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[4])
  held = true
end
return {held and 'held' or 'taken', now[1], now[2], now[3], now[4]}
