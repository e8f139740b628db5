-- What the portfolio gate made of a plan, by its newest entry about it.
-- KEYS: stream of final actions
-- ARGV: entries, plan id, most bytes of a field
-- Returns {final_action, action} as far as they are there, or nothing where no entry names the plan.
for _, entry in ipairs(redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', ARGV[1])) do
  local of = fields(entry, {plan_id = '', final_action = '', action = ''}, ARGV[3])
  if of.plan_id == ARGV[2] then
    return {of.final_action, of.action}
  end
end
return false
