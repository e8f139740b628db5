-- What other programs wrote onto the stream of results, among its newest entries: of each program how many entries, and
-- what its newest one says. Of each field only as much leaves the server as is shown.
-- KEYS: result stream
-- ARGV: entries, the source of this program's own, most bytes of a field, most programs
-- Returns {{source, entries, plan, symbol, executed, error, details}, ...}
local programs, index = {}, {}
for _, entry in ipairs(redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', ARGV[1])) do
  local of = fields(entry, {source = '', plan_id = '', symbol = '', executed = '', error = '', details = ''}, ARGV[3])
  local at = index[of.source]
  if of.source == '' or of.source == ARGV[2] then
    -- Ours.
  elseif at then
    programs[at][2] = programs[at][2] + 1
  elseif #programs < tonumber(ARGV[4]) then
    programs[#programs + 1] = {of.source, 1, of.plan_id, of.symbol, of.executed, of.error, of.details}
    index[of.source] = #programs
  end
end
return programs
