-- Writes a position into ledger and canonical position, with the moment of the fill, all or nothing.
-- KEYS: ledger, canonical position, moment of the last fill
-- ARGV: signed amount, amount, side, seconds, milliseconds of the fill, seconds that the moment is kept
-- Returns '' where it stands there, else the key that is of another type or form: then nothing is written.
local function is_number(text)
  return not text or (#text < 40 and tonumber(text) ~= nil)
end

local known = {{'ledger_amt', 'last_known_amt', 'position_amt'}, {'position_amt', 'quantity'}}
for i, names in ipairs(known) do
  local kind = redis.call('TYPE', KEYS[i]).ok
  if kind ~= 'none' then
    if kind ~= 'hash' then
      return KEYS[i]
    end
    local there = false
    for _, name in ipairs(names) do
      local value = redis.call('HGET', KEYS[i], name)
      if not is_number(value) then
        return KEYS[i]
      end
      there = there or value
    end
    if not there then
      return KEYS[i]
    end
  end
end
local kind = redis.call('TYPE', KEYS[3]).ok
if kind ~= 'none' and kind ~= 'string' then
  return KEYS[3]
end
local signed, amount, side, seconds = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
redis.call('HSET', KEYS[1], 'ledger_amt', signed, 'ledger_side', side, 'last_known_amt', signed,
  'position_amt', signed, 'qty', amount, 'side', side, 'updated_at', seconds, 'ts_epoch', seconds)
redis.call('HSET', KEYS[2], 'position_amt', signed, 'quantity', amount, 'side', side, 'ts_epoch', seconds)
local before = tonumber(redis.call('GET', KEYS[3]) or '0') or 0
if before < tonumber(ARGV[5]) then
  redis.call('SET', KEYS[3], ARGV[5], 'EX', ARGV[6])
end
return ''
