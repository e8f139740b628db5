-- Looks whether an attempt may still place its order. Reads only.
-- KEYS: open plans, and where they lie in the same slot the kill switch and the keys that halt by being there
-- ARGV: plan, how the entry begins while the attempt holds it and its intent is noted, most bytes of the
--   switch
-- Returns {1, switch, how many keys that halt are there} where the attempt holds the plan and has noted its
-- intent, else {0}. The switch is empty where there is none and 0 where it cannot be read.
local entry = redis.call('HGET', KEYS[1], ARGV[1])
if not entry or string.sub(entry, 1, #ARGV[2]) ~= ARGV[2] then
  return {0}
end
local switch = KEYS[2] and redis.pcall('GETRANGE', KEYS[2], 0, ARGV[3])
if type(switch) == 'table' then
  switch = 0
end
return {1, switch, KEYS[3] and redis.call('EXISTS', unpack(KEYS, 3)) or 0}
