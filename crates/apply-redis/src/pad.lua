-- Puts entries behind the newest result that a ledger's brain books nothing for, where that is the newest one still.
-- KEYS: result stream
-- ARGV: id of the newest entry, how many, stream length, field, value, ...
-- Returns 1 where they are there, else 0: somebody has written meanwhile.
local newest = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
if not newest or newest[1] ~= ARGV[1] then
  return 0
end
for _ = 1, tonumber(ARGV[2]) do
  redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[3], '*', unpack(ARGV, 4))
end
return 1
