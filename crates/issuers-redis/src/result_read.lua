-- Ends the reading of a result; where nothing came of its plan, the plan is no longer counted.
-- KEYS: result stream, usage
-- ARGV: group, entry, execution's field or ''
if ARGV[3] ~= '' and redis.call('HDEL', KEYS[2], ARGV[3]) == 1 then
  redis.call('HINCRBY', KEYS[2], 'version', 1)
end
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
return 1
