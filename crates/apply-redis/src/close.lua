-- Closes a plan that has its result, where it is this attempt's. What else holds it goes on.
-- KEYS: open plans, claim
-- ARGV: plan, how the entry begins while the attempt holds it, attempt, claim ttl
-- The claim stands in for the mark, which lies elsewhere: an instance that would claim the plan looks here.
local entry = read('HGET', KEYS[1], ARGV[1])
read('GET', KEYS[2])
if wrong then
  return wrong
end
redis.call('SET', KEYS[2], ARGV[3], 'EX', ARGV[4], 'NX')
if begins(entry, ARGV[2]) then
  redis.call('HDEL', KEYS[1], ARGV[1])
end
return 1
