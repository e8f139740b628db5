-- Looks what became of a claim.
-- KEYS: generation, claim, open plans, and where it lies in the same slot the final mark
-- ARGV: attempt, claim ttl, plan, how the open entry begins, new generation, the claim's last moment in server
--       microseconds
-- Returns {word, id, began, age, known, microseconds since the claim}; the words are those of claim.lua, and
--   none    it was not carried out and will not be
--   early   it was not carried out, and may be yet
local holder, entry = read('GET', KEYS[2]), read('HGET', KEYS[3], ARGV[3])
local mark = KEYS[4] and read('GET', KEYS[4])
local now = generation(KEYS[1], ARGV[5])
if wrong then
  return wrong
end
local function answer(word, since)
  return {word, now[1], now[2], now[3], now[4], since or 0}
end
if holder == ARGV[1] then
  if begins(entry, ARGV[4]) then
    return answer('won', age_of(KEYS[2], ARGV[2]))
  end
  local final = begins(mark, 'executed ') or begins(mark, 'not_executed ')
  return answer(final and 'taken' or 'lost')
end
return answer(now[2] + now[3] > tonumber(ARGV[6]) and 'none' or 'early')
