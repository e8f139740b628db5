-- Puts a result on the stream once, and drops the receipt of the permits it came from.
-- KEYS: published mark, result stream, receipt
-- ARGV: mark ('final' for a claimed plan), mark ttl, stream length, field, value, ...
local mark = redis.call('GET', KEYS[1])
-- A final result is never followed by another one of its plan.
if mark == ARGV[1] or mark == 'final' then
  return 0
end
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[3], '*', unpack(ARGV, 4))
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
redis.call('DEL', KEYS[3])
return 1
