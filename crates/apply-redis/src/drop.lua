-- Drops the receipt of permits where they were taken by this attempt.
-- KEYS: receipt
-- ARGV: how it begins
local receipt = redis.pcall('GET', KEYS[1])
if type(receipt) == 'string' and string.sub(receipt, 1, #ARGV[1]) == ARGV[1] then
  redis.call('DEL', KEYS[1])
end
return 1
