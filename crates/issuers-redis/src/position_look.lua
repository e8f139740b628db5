-- What the position brain decides on, at one moment.
-- KEYS: snapshot, ledger, cursor, result stream
local time = redis.call('TIME')
local newest = redis.call('XREVRANGE', KEYS[4], '+', '-', 'COUNT', 1)[1]
return {
  tonumber(time[1]), tonumber(time[2]),
  redis.call('HGETALL', KEYS[1]),
  redis.call('HGETALL', KEYS[2]),
  redis.call('GET', KEYS[3]) or '0-0',
  newest and newest[1] or '0-0',
}
