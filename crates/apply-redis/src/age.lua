-- Makes what the server remembers older than it is. For tests.
-- KEYS: generation
-- ARGV: new generation, microseconds
if not generation(KEYS[1], ARGV[1]) then
  return wrong
end
local head, began = string.match(redis.call('GET', KEYS[1]), '^(.+ )(%d+)$')
redis.call('SET', KEYS[1], head .. string.format('%.0f', began - ARGV[2]))
return 1
