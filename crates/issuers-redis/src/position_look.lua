-- What the position brain decides on, at one moment.
-- KEYS: snapshot, ledger, cursor, result stream
-- ARGV: most bytes of a hash
local time = redis.call('TIME')
local newest = redis.call('XREVRANGE', KEYS[4], '+', '-', 'COUNT', 1)[1]
local cursor = redis.call('GETRANGE', KEYS[3], 0, 63)
return {
  tonumber(time[1]), tonumber(time[2]),
  hash(KEYS[1], tonumber(ARGV[1])),
  hash(KEYS[2], tonumber(ARGV[1])),
  cursor ~= '' and cursor or '0-0',
  newest and newest[1] or '0-0',
}
