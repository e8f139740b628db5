-- What the governor decides on, at one moment.
-- KEYS: usage, snapshot
local time = redis.call('TIME')
return {
  tonumber(time[1]), tonumber(time[2]),
  redis.call('HGETALL', KEYS[1]),
  redis.call('HGETALL', KEYS[2]),
}
