-- Puts a result on the stream once. A final one closes its plan and drops the receipt of the permits
-- it came from; what is told of a plan that nobody claimed says nothing about them.
-- KEYS: published mark, result stream, and where they lie in the same slot receipt, open plans
-- ARGV: mark ('final' for a claimed plan), mark ttl, stream length, plan, field, value, ...
local mark = redis.call('GET', KEYS[1])
local told = mark == ARGV[1] or mark == 'final'
-- A final result is never followed by another one of its plan.
if not told then
  redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[3], '*', unpack(ARGV, 5))
  redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
end
-- After the stream: a plan that is not open any more has its result.
if ARGV[1] == 'final' and KEYS[3] then
  redis.call('DEL', KEYS[3])
  redis.call('HDEL', KEYS[4], ARGV[4])
end
return told and 0 or 1
