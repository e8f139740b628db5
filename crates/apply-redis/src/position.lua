-- Writes a position into ledger and canonical position, with the moment of the fill, all or nothing.
-- KEYS: ledger, canonical position, moment of the last fill
-- ARGV: signed amount, amount, side, seconds, milliseconds of the fill, seconds that the moment is kept
-- Returns the keys that are of another type or form: where there is one, nothing is written.
local function is_number(text)
  return not text or (#text < 40 and tonumber(text) ~= nil)
end

-- Whether it is no hash with numbers under some of these names.
local function is_other(key, names)
  local kind = redis.call('TYPE', key).ok
  if kind ~= 'hash' then
    return kind ~= 'none'
  end
  local there = false
  for _, name in ipairs(names) do
    local value = redis.call('HGET', key, name)
    if not is_number(value) then
      return true
    end
    there = there or value
  end
  return not there
end

local others = {}
for i, names in ipairs({{'ledger_amt', 'last_known_amt', 'position_amt'}, {'position_amt', 'quantity'}}) do
  if is_other(KEYS[i], names) then
    others[#others + 1] = KEYS[i]
  end
end
local kind = redis.call('TYPE', KEYS[3]).ok
if kind ~= 'none' and kind ~= 'string' then
  others[#others + 1] = KEYS[3]
end
if #others > 0 then
  return others
end
local signed, amount, side, seconds = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
redis.call('HSET', KEYS[1], 'ledger_amt', signed, 'ledger_side', side, 'last_known_amt', signed,
  'position_amt', signed, 'qty', amount, 'side', side, 'updated_at', seconds, 'ts_epoch', seconds)
redis.call('HSET', KEYS[2], 'position_amt', signed, 'quantity', amount, 'side', side, 'ts_epoch', seconds)
local before = tonumber(redis.call('GET', KEYS[3]) or '0') or 0
if before < tonumber(ARGV[5]) then
  redis.call('SET', KEYS[3], ARGV[5], 'EX', ARGV[6])
end
return others
