-- The results of this program that filled something and came after the cursor, oldest first.
-- KEYS: result stream, cursor
-- ARGV: entries, the source of this program's own, most bytes of a field
-- Returns {id of the last entry looked at, {{id, symbol}, ...}}. Without a cursor it is put at the newest entry: what was
-- filled before is not this program's to write.
local from = redis.call('GET', KEYS[2])
if not from then
  local newest = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
  from = newest and newest[1] or '0-0'
  redis.call('SET', KEYS[2], from, 'NX')
  return {from, {}}
end
local last, fills = from, {}
for _, entry in ipairs(redis.call('XRANGE', KEYS[1], '(' .. from, '+', 'COUNT', ARGV[1])) do
  last = entry[1]
  local of = fields(entry, {source = '', symbol = '', executed = '', filled_qty = ''}, ARGV[3])
  local filled = of.filled_qty ~= '' and of.filled_qty ~= '0'
  if of.source == ARGV[2] and of.executed == 'True' and filled then
    fills[#fills + 1] = {last, of.symbol}
  end
end
return {last, fills}
