-- Marks that a disarm was seen, where one is there still: it may have been resumed from meanwhile.
-- KEYS: the keys of the governor's disarm, the mark
-- ARGV: the mark's text
-- Returns 1 where the mark is there, else 0.
local mark = KEYS[#KEYS]
if redis.call('EXISTS', unpack(KEYS, 1, #KEYS - 1)) > 0 then
  redis.call('SET', mark, ARGV[1], 'NX')
end
return redis.call('EXISTS', mark)
