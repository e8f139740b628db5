-- After a gap in the results: ledgers start anew, at the first result there is.
-- KEYS: cursor, ledger, ...
-- ARGV: from
if (redis.call('GET', KEYS[1]) or '0-0') ~= ARGV[1] then
  return 0
end
for i = 2, #KEYS do
  local version = redis.call('HGET', KEYS[i], 'version') or '0'
  redis.call('DEL', KEYS[i])
  -- The version goes on, so that a page from before is outdated.
  redis.call('HSET', KEYS[i], 'version', version, 'book', 'blank', 'ledger_amt', '',
    'last_fill_us', '', 'last_order_id', '')
  redis.call('HINCRBY', KEYS[i], 'version', 1)
end
redis.call('SET', KEYS[1], '0-0')
return 1
