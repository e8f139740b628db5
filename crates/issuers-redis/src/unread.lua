-- Results after the cursor, and the first one the stream still has.
-- KEYS: cursor, result stream
-- ARGV: at most so many
local cursor = redis.call('GET', KEYS[1]) or '0-0'
local first = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1]
return {
  cursor,
  first and first[1] or '0-0',
  redis.call('XRANGE', KEYS[2], '(' .. cursor, '+', 'COUNT', ARGV[1]),
}
