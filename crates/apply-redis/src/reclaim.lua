-- Opens a plan once more that no attempt holds, so that it can be ended; never for an order, and without putting
-- it on the stream.
-- KEYS: open plans, generation, claim, and where it lies in the same slot the final mark
-- ARGV: plan, open entry, how it begins, new generation, attempt, claim ttl, most bytes of an entry
-- Returns {word, id, began, age, known, ...}; the words:
--   held   it is this attempt's, now or since an answer was lost
--   open   somebody holds it; the entry follows
--   ended  its end was published; the mark follows
local entry, mark = read('HGET', KEYS[1], ARGV[1]), KEYS[4] and read('GET', KEYS[4])
read('GET', KEYS[3])
local now = generation(KEYS[2], ARGV[4])
if wrong then
  return wrong
end
local function answer(word, more)
  return {word, now[1], now[2], now[3], now[4], more or ''}
end
if begins(entry, ARGV[3]) then
  return answer('held')
end
if entry then
  return answer('open', string.sub(entry, 1, tonumber(ARGV[7]) + 1))
end
if begins(mark, 'executed ') or begins(mark, 'not_executed ') then
  return answer('ended', string.sub(mark, 1, 16))
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('SET', KEYS[3], ARGV[5], 'EX', ARGV[6])
return answer('held')
