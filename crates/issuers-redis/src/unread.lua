-- Results after the cursor, and the first one the stream still has.
-- KEYS: cursor, result stream
-- ARGV: at most so many, most bytes of a result
local cursor = redis.call('GETRANGE', KEYS[1], 0, 63)
if cursor == '' then
  cursor = '0-0'
end
local first = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1]
return {
  cursor,
  first and first[1] or '0-0',
  bounded(redis.call('XRANGE', KEYS[2], '(' .. cursor, '+', 'COUNT', ARGV[1]), tonumber(ARGV[2])),
}
