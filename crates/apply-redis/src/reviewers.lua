-- How reviewers read the stream of plans.
-- KEYS: plan stream
-- ARGV: entries that are counted at most where the server does not count itself, group, ...
-- Returns {{group, 1, consumers, least idle time in ms or -1, pending, entries not yet read}, ...}, {group, 0} for one that
-- is not there.
local function fields(flat)
  local of = {}
  for i = 1, #flat, 2 do
    of[flat[i]] = flat[i + 1]
  end
  return of
end

local there = {}
if redis.call('EXISTS', KEYS[1]) == 1 then
  for _, flat in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
    local group = fields(flat)
    there[group.name] = group
  end
end
local found = {}
for i = 2, #ARGV do
  local group = there[ARGV[i]]
  if not group then
    found[#found + 1] = {ARGV[i], 0}
  else
    local idle = -1
    for _, flat in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[i])) do
      local consumer = fields(flat)
      if idle < 0 or consumer.idle < idle then
        idle = consumer.idle
      end
    end
    local lag = group.lag
    if type(lag) ~= 'number' then
      local after = '(' .. group['last-delivered-id']
      lag = #redis.call('XRANGE', KEYS[1], after, '+', 'COUNT', ARGV[1])
    end
    found[#found + 1] = {ARGV[i], 1, group.consumers, idle, group.pending, lag}
  end
end
return found
