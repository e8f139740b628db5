-- Claims a plan, opens it and puts it on the stream, together or not at all.
-- KEYS: claim, published mark, plan stream, open plans, generation, lease of the live mode, and where it lies in the
--       same slot the final mark
-- ARGV: attempt, claim ttl, mark ttl, stream length, plan, open entry, how it begins, new generation,
--       microseconds after which a generation is clean, 1 where this process has waited as long by its own
--       clock, last moment in server microseconds, 1 for a dry run, field, value, ...
-- Returns {word, id, began, age, known, microseconds since the claim}; the words:
--   won     it is this attempt's, now or since an answer was lost
--   lost    this attempt claimed it, and does not hold it any more
--   taken   somebody else claimed it, works on it or has published its end
--   young   the store may have forgotten something a moment ago: nothing was done
--   fenced  it is a dry run's, and a live instance works here: nothing was done
--   late    it came after its last moment: nothing was done
local holder, entry = read('GET', KEYS[1]), read('HGET', KEYS[4], ARGV[5])
local mark = KEYS[7] and read('GET', KEYS[7])
local now = generation(KEYS[5], ARGV[8])
if wrong then
  return wrong
end
local function answer(word, since)
  return {word, now[1], now[2], now[3], now[4], since or 0}
end
local final = begins(mark, 'executed ') or begins(mark, 'not_executed ')
if holder == ARGV[1] then
  if begins(entry, ARGV[7]) then
    return answer('won', age_of(KEYS[1], ARGV[2]))
  end
  return answer(final and 'taken' or 'lost')
end
if holder or entry or final then
  return answer('taken')
end
if ARGV[12] == '1' and redis.call('EXISTS', KEYS[6]) == 1 then
  return answer('fenced')
end
if tonumber(now[3]) < tonumber(ARGV[9]) or (now[4] == 0 and ARGV[10] ~= '1') then
  return answer('young')
end
if now[2] + now[3] > tonumber(ARGV[11]) then
  return answer('late')
end
-- The stream first: where it cannot be written nothing is claimed.
redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[4], '*', unpack(ARGV, 13))
redis.call('HSET', KEYS[4], ARGV[5], ARGV[6])
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
redis.call('SET', KEYS[2], 'EXECUTE', 'EX', ARGV[3])
return answer('won')
