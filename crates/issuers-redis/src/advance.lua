-- Moves the cursor over results, and writes what the last of them did to a ledger.
-- KEYS: cursor, ledger
-- ARGV: from, to, expected ledger version or '' for no ledger, field, value, ...
if (redis.call('GET', KEYS[1]) or '0-0') ~= ARGV[1] then
  return 0
end
if ARGV[3] ~= '' then
  if (redis.call('HGET', KEYS[2], 'version') or '0') ~= ARGV[3] then
    return 0
  end
  redis.call('HSET', KEYS[2], unpack(ARGV, 4))
  redis.call('HINCRBY', KEYS[2], 'version', 1)
end
redis.call('SET', KEYS[1], ARGV[2])
return 1
