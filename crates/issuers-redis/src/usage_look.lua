-- What the governor decides on, at one moment.
-- KEYS: usage, snapshot
-- ARGV: most bytes of a hash
local time = redis.call('TIME')
return {
  tonumber(time[1]), tonumber(time[2]),
  hash(KEYS[1], tonumber(ARGV[1])),
  hash(KEYS[2], tonumber(ARGV[1])),
}
