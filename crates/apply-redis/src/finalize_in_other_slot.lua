-- The same where what is open lies in another slot: whether the plan is the attempt's to end was looked at
-- before, and it is closed afterwards.
-- KEYS: final mark, result stream
-- ARGV: 'executed' or 'not_executed', attempt, mark ttl, stream length, 1 where the attempt may publish that
--       nothing was executed, last moment for that in server microseconds, field, value, ...
-- Returns one of the words of finalize.lua, but 'forgot', or 'late' where that moment is over.
local mark = read('GET', KEYS[1])
if wrong then
  return wrong
end
local stood, executed = string.match(mark or '', '^(%S+) '), ARGV[1] == 'executed'
if stood ~= 'executed' and stood ~= 'not_executed' then
  stood = nil
end
if stood == ARGV[1] then
  return mark == ARGV[1] .. ' ' .. ARGV[2] and 'stands' or 'before'
end
if stood == 'executed' then
  return ARGV[5] == '1' and 'contradicted' or 'before'
end
if not executed then
  if ARGV[5] ~= '1' then
    return 'not held'
  end
  local time = redis.call('TIME')
  if time[1] * 1000000 + time[2] > tonumber(ARGV[6]) then
    return 'late'
  end
end
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[4], '*', unpack(ARGV, 7))
redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. ARGV[2], 'EX', ARGV[3])
return stood and 'corrected' or 'published'
