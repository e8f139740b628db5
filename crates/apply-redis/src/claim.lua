-- Claims a plan, opens it and puts it on the stream, together or not at all.
-- KEYS: claim, published mark, plan stream, open plans
-- ARGV: attempt, claim ttl, mark ttl, stream length, plan, open entry, field, value, ...
-- Returns 1 where the claim is this attempt's (now or since an answer was lost), else 0.
local holder = redis.call('GET', KEYS[1])
if holder then
  return holder == ARGV[1] and 1 or 0
end
-- The stream first: where it cannot be written nothing is claimed.
redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[4], '*', unpack(ARGV, 7))
redis.call('HSET', KEYS[4], ARGV[5], ARGV[6])
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
redis.call('SET', KEYS[2], 'EXECUTE', 'EX', ARGV[3])
return 1
