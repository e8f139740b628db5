-- Keeps a snapshot unless a newer one is there.
-- KEYS: snapshot
-- ARGV: asked at, ttl, field, value, ...
local old = tonumber(redis.call('HGET', KEYS[1], 'asked_at_us') or '')
if old and old >= tonumber(ARGV[1]) then
  return 0
end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], unpack(ARGV, 3))
redis.call('EXPIRE', KEYS[1], ARGV[2])
return 1
