-- What other programs wrote onto the stream of results, among its newest entries: of each program how many entries, and
-- what its newest one says. Of each field only as much leaves the server as is shown.
-- KEYS: result stream
-- ARGV: entries, the source of this program's own, most bytes of a field, most programs, what is written in the place of a
-- source where an entry has not the form of a result, how many words `executed` may be, these words, those of `decision`
-- Returns {{source, entries, plan, symbol, executed, error, details}, ...}
local executed, decisions = {}, {}
for i = 7, #ARGV do
  local words = i < 7 + tonumber(ARGV[6]) and executed or decisions
  words[ARGV[i]] = true
end

-- Who wrote it, where it is no result of this program nor of the one before it.
local function other_writer(of)
  if of.source ~= '' and of.source ~= ARGV[2] then
    return of.source
  end
  local names_a_plan = #of.plan_id == 16 and not string.find(of.plan_id, '%X')
  local is_result = names_a_plan and executed[of.executed] and decisions[of.decision]
  return not is_result and ARGV[5] or nil
end

local programs, index = {}, {}
for _, entry in ipairs(redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', ARGV[1])) do
  local of = fields(entry, {source = '', plan_id = '', symbol = '', decision = '', executed = '', error = '', details = ''}, ARGV[3])
  local source = other_writer(of)
  local at = index[source or '']
  if not source then
    -- Ours.
  elseif at then
    programs[at][2] = programs[at][2] + 1
  elseif #programs < tonumber(ARGV[4]) then
    programs[#programs + 1] = {source, 1, of.plan_id, of.symbol, of.executed, of.error, of.details}
    index[source] = #programs
  end
end
return programs
