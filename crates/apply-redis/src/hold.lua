-- Looks whether an attempt holds a plan.
-- KEYS: open plans, generation
-- ARGV: plan, how the entry begins while the attempt holds it, new generation
-- Returns {'held' or 'not held', id, began, age, known}.
local entry = read('HGET', KEYS[1], ARGV[1])
local now = generation(KEYS[2], ARGV[3])
return wrong or {begins(entry, ARGV[2]) and 'held' or 'not held', now[1], now[2], now[3], now[4]}
