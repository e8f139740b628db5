-- Reads the newest results as far as a ledger's brain looks at them, newest first. Of each field only as much leaves the
-- server as any of them may have.
-- KEYS: result stream
-- ARGV: entries, most bytes of a field
-- Returns {{id, plan, symbol, 1 where it was executed, else 0}, ...}
local seen = {}
for i, entry in ipairs(redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', ARGV[1])) do
  local of = {plan_id = '', symbol = '', executed = ''}
  for j = 1, #entry[2], 2 do
    local name = entry[2][j]
    if of[name] then
      of[name] = string.sub(entry[2][j + 1], 1, ARGV[2])
    end
  end
  seen[i] = {entry[1], of.plan_id, of.symbol, of.executed == 'True' and 1 or 0}
end
return seen
