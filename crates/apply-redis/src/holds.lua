-- Whether an open plan is, to the byte, as it was written.
-- KEYS: open plans
-- ARGV: plan, entry
return redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] and 1 or 0
