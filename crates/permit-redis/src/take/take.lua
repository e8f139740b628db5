-- Takes every permit of one plan, or none.
--
-- KEYS  the n permits, the receipt, and where they lie in the same slot the kill switch and the holders
-- ARGV  n | attempt | last moment in server microseconds | receipt's seconds | bytes of a permit worth reading
--       1 where the switch is among the keys, else 0
--       nothing, or 'not ready', or 'look' | plan | how its holder's field begins for this attempt
--       | how it begins once the attempt may take
--
-- Answers, always with the server's microseconds at the end:
--   {1, content 1 .. n, now}                          taken
--   {0, 'missing', ttl 1 .. n, content 1 .. n, now}   not taken; nil is the content of one that is not there
--   {0, 'not ready', ttl 1 .. n, content 1 .. n, now} all there, not taken: the attempt may not take yet
--   {0, 'not held', now}                              the plan is not this attempt's
--   {0, 'receipt', receipt, now}                      taken before; the receipt says by whom
--   {0, 'halted' | 'late' | 'unreadable', now}
--
-- One MGET reads every string before anything can return: a server that tracks reads follows only
-- the keys that were really read.

local n = tonumber(ARGV[1])
local limit = tonumber(ARGV[5])
local strings = n + 1 + ARGV[6]
local got = redis.call('MGET', unpack(KEYS, 1, strings))
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local receipt = KEYS[n + 1]
local switch = ARGV[6] == '1' and KEYS[n + 2]

-- Whatever is not plainly off is on. A key of another type is nil to MGET and yet exists.
local function halted()
  local value = got[n + 2]
  if not value then
    return redis.call('EXISTS', switch) == 1
  end
  if #value > 16 then
    return true
  end
  local word = string.lower(string.match(value, '^%s*(.-)%s*$'))
  return not (word == '' or word == 'false' or word == '0' or word == 'no')
end

if switch and halted() then
  return {0, 'halted', now}
end
local ready = ARGV[7] ~= 'not ready'
if ARGV[7] == 'look' then
  local holder = redis.call('HGET', KEYS[strings + 1], ARGV[8])
  if not holder or string.sub(holder, 1, #ARGV[9]) ~= ARGV[9] then
    return {0, 'not held', now}
  end
  ready = string.sub(holder, 1, #ARGV[10]) == ARGV[10]
end
if got[n + 1] then
  -- Who has taken was ready: a store that says otherwise has gone back.
  if not ready then
    return {0, 'not held', now}
  end
  return {0, 'receipt', got[n + 1], now}
end
if now > tonumber(ARGV[3]) then
  return {0, 'late', now}
end

local contents, lengths, all = {}, {}, true
for i = 1, n do
  if got[i] then
    contents[i] = string.sub(got[i], 1, limit)
    lengths[i] = #contents[i]
  else
    contents[i] = false
    all = false
  end
end

if not all or not ready then
  local answer = {0, all and 'not ready' or 'missing'}
  for i = 1, n do
    answer[2 + i] = redis.call('TTL', KEYS[i])
    answer[2 + n + i] = contents[i]
  end
  answer[3 + 2 * n] = now
  return answer
end

-- Receipt first: where memory is short it is this line that fails, and nothing is gone yet. NX: a
-- key of another type was nil above and is not to be overwritten.
local text = '1 ' .. ARGV[2] .. ' ' .. string.format('%.0f', now) .. ' ' .. table.concat(lengths, ',')
  .. '\n' .. table.concat(contents)
if not redis.call('SET', receipt, text, 'EX', ARGV[4], 'NX') then
  return {0, 'unreadable', now}
end
redis.call('DEL', unpack(KEYS, 1, n))

contents[n + 1] = now
table.insert(contents, 1, 1)
return contents
