-- Puts a plan that will not execute on the stream, once a decision, and never one that is claimed:
-- the instance that claimed it publishes what becomes of it.
-- KEYS: published mark, plan stream, claim, and for a dry run the lease of the live mode
-- ARGV: decision and reasons, mark ttl, stream length, field, value, ...
-- Returns 1 where it is there now, 0 where there is nothing to say, 2 for a dry run where a live instance works.
if KEYS[4] and redis.call('EXISTS', KEYS[4]) == 1 then
  return 2
end
if redis.call('EXISTS', KEYS[3]) == 1 or redis.call('GET', KEYS[1]) == ARGV[1] then
  return 0
end
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[3], '*', unpack(ARGV, 4))
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
return 1
