-- Takes every permit of one plan, or none.
--
-- KEYS  the n permits, the receipt, and where they lie in the same slot the kill switch, the holders, the
--       fence, and the keys that halt by being there
-- ARGV  n | attempt | last moment in server microseconds | receipt's seconds
--       | bytes worth reading of a permit, of the receipt, of the switch, 0 where it is not among the keys
--       | the words that say off, a blank before and after each | 1 where the fence is among the keys, else 0
--       nothing, or 'not ready', or 'look' | plan | how its holder's field begins for this attempt
--       | how it begins once the attempt may take | most bytes of it: a longer one is no permit
--
-- Answers, always with the server's microseconds at the end:
--   {1, content 1 .. n, now}                          taken
--   {0, 'missing', ttl 1 .. n, content 1 .. n, now}   not taken; nil is the content of one that is not there
--   {0, 'not ready', ttl 1 .. n, content 1 .. n, now} all there, not taken: the attempt may not take yet
--   {0, 'not held', now}                              the plan is not this attempt's
--   {0, 'receipt', receipt, now}                      taken before; the receipt says by whom
--   {0, 'halted' | 'fenced' | 'late' | 'unreadable', now}
--
-- Of each string its beginning is read, so that a value of any size costs no more than that. All are
-- read before anything can return: a server that tracks reads follows only the keys that were really read.

local n = tonumber(ARGV[1])
local most = {permit = tonumber(ARGV[5]), receipt = tonumber(ARGV[6]), switch = tonumber(ARGV[7])}

-- The beginning of a string, empty where there is none; false where the key is of another type. Any
-- other failure ends the script.
local function read(key, bytes)
  local text = redis.pcall('GETRANGE', key, 0, bytes - 1)
  if type(text) == 'string' then
    return text
  end
  if string.find(text.err, '^WRONGTYPE') then
    return false
  end
  return redis.call('GETRANGE', key, 0, bytes - 1)
end

local contents = {}
for i = 1, n do
  contents[i] = read(KEYS[i], most.permit)
end
local receipt = KEYS[n + 1]
local taken = read(receipt, most.receipt)
local switch = most.switch > 0 and read(KEYS[n + 2], most.switch)
local strings = n + 1 + (most.switch > 0 and 1 or 0)
local fence = strings + (ARGV[10] == 'look' and 1 or 0) + 1
local fenced = ARGV[9] == '1' and redis.call('EXISTS', KEYS[fence]) == 1
local halting = fence + tonumber(ARGV[9])
local disarmed = KEYS[halting] and redis.call('EXISTS', unpack(KEYS, halting)) > 0
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

-- Whatever is not plainly off is on. The blanks are those that Rust trims: Lua's %s has one more.
local function halted()
  if not switch or #switch == most.switch then
    return true
  end
  local word = string.lower(string.match(switch, '^[ \t\r\n\f]*(.-)[ \t\r\n\f]*$'))
  return word ~= '' and (string.find(word, '%s') or not string.find(ARGV[8], ' ' .. word .. ' ', 1, true))
end

if disarmed or (most.switch > 0 and halted()) then
  return {0, 'halted', now}
end
if fenced then
  return {0, 'fenced', now}
end
local ready = ARGV[10] ~= 'not ready'
if ARGV[10] == 'look' then
  local holder = redis.call('HGET', KEYS[strings + 1], ARGV[11])
  if not holder or #holder > tonumber(ARGV[14]) or string.sub(holder, 1, #ARGV[12]) ~= ARGV[12] then
    return {0, 'not held', now}
  end
  ready = string.sub(holder, 1, #ARGV[13]) == ARGV[13]
end
if taken and taken ~= '' then
  -- Who has taken was ready: a store that says otherwise has gone back.
  if not ready then
    return {0, 'not held', now}
  end
  if #taken == most.receipt then
    return {0, 'unreadable', now}
  end
  return {0, 'receipt', taken, now}
end
if now > tonumber(ARGV[3]) then
  return {0, 'late', now}
end

-- An empty permit is there, and is no yes; one that is not there reads the same.
local ttls, lengths, all = {}, {}, true
for i = 1, n do
  if contents[i] == '' then
    ttls[i] = redis.call('TTL', KEYS[i])
    contents[i] = ttls[i] ~= -2 and ''
  end
  if contents[i] then
    lengths[i] = #contents[i]
  else
    all = false
  end
end

if not all or not ready then
  local answer = {0, all and 'not ready' or 'missing'}
  for i = 1, n do
    answer[2 + i] = ttls[i] or redis.call('TTL', KEYS[i])
    answer[2 + n + i] = contents[i]
  end
  answer[3 + 2 * n] = now
  return answer
end

-- Receipt first: where memory is short it is this line that fails, and nothing is gone yet. NX: a
-- receipt that is empty, or a key of another type, is not to be overwritten.
local text = '1 ' .. ARGV[2] .. ' ' .. string.format('%.0f', now) .. ' ' .. table.concat(lengths, ',')
  .. '\n' .. table.concat(contents)
if not redis.call('SET', receipt, text, 'EX', ARGV[4], 'NX') then
  return {0, 'unreadable', now}
end
redis.call('DEL', unpack(KEYS, 1, n))

contents[n + 1] = now
table.insert(contents, 1, 1)
return contents
