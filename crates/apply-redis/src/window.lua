-- Reads the newest results as far as a ledger's brain looks at them, newest first. Of each field only as much leaves the
-- server as any of them may have.
-- KEYS: result stream
-- ARGV: entries, most bytes of a field
-- Returns {{id, plan, symbol, 1 where it was executed, else 0}, ...}
local seen = {}
for i, entry in ipairs(redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', ARGV[1])) do
  local of = fields(entry, {plan_id = '', symbol = '', executed = ''}, ARGV[2])
  seen[i] = {entry[1], of.plan_id, of.symbol, of.executed == 'True' and 1 or 0}
end
return seen
