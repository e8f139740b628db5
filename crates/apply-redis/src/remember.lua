-- Looks since when the store remembers what was written to it, and begins a new generation where it has to.
-- KEYS: generation
-- ARGV: new generation
local now = generation(KEYS[1], ARGV[1])
return wrong or {'now', now[1], now[2], now[3], now[4]}
