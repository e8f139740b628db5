-- Writes what the venue's word made of a ledger, where every result is counted.
-- KEYS: ledger, cursor, result stream
-- ARGV: expected ledger version, field, value, ...
local newest = redis.call('XREVRANGE', KEYS[3], '+', '-', 'COUNT', 1)[1]
if newest and newest[1] ~= (redis.call('GET', KEYS[2]) or '0-0') then
  return 0
end
if (redis.call('HGET', KEYS[1], 'version') or '0') ~= ARGV[1] then
  return 0
end
redis.call('HSET', KEYS[1], unpack(ARGV, 2))
redis.call('HINCRBY', KEYS[1], 'version', 1)
return 1
