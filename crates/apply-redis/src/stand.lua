-- Looks whether an attempt may still place its order. Reads only.
-- KEYS: open plans, and the kill switch where it lies in the same slot
-- ARGV: plan, how the entry begins while the attempt holds it and its intent is noted, most bytes of the
--   switch
-- Returns {1, switch} where the attempt holds the plan and has noted its intent, else {0}. The switch is
-- empty where there is none and 0 where it cannot be read.
local entry = redis.call('HGET', KEYS[1], ARGV[1])
if not entry or string.sub(entry, 1, #ARGV[2]) ~= ARGV[2] then
  return {0}
end
local switch = KEYS[2] and redis.pcall('GETRANGE', KEYS[2], 0, ARGV[3])
if type(switch) == 'table' then
  switch = 0
end
return {1, switch}
