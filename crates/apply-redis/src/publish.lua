-- Puts a result of a plan that no instance claimed on the stream, once a reason, and never after a final one.
-- KEYS: published mark, result stream
-- ARGV: mark, mark ttl, stream length, field, value, ...
-- Returns 1 where it is there now, else 0.
local mark = read('GET', KEYS[1])
if wrong then
  return wrong
end
if mark == ARGV[1] or begins(mark, 'executed ') or begins(mark, 'not_executed ') then
  return 0
end
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[3], '*', unpack(ARGV, 4))
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
return 1
