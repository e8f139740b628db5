-- Reads entries of a stream. Of one that is too long only its size leaves the server.
-- KEYS: stream
-- ARGV: most bytes of an entry, command, arguments
-- Returns {seconds, microseconds, {{id, {field, value, ...}} or {id, size}, ...}}
local most, command = tonumber(ARGV[1]), ARGV[2]
local time = redis.call('TIME')
local entries
if command == 'XREADGROUP' then
  -- group, consumer, count
  entries = redis.pcall('XREADGROUP', 'GROUP', ARGV[3], ARGV[4], 'COUNT', ARGV[5], 'STREAMS', KEYS[1], '>')
  if entries and not entries.err then
    entries = entries[1][2]
  end
elseif command == 'XAUTOCLAIM' then
  -- group, consumer, count, idle milliseconds
  entries = redis.pcall('XAUTOCLAIM', KEYS[1], ARGV[3], ARGV[4], ARGV[6], '0', 'COUNT', ARGV[5])
  if not entries.err then
    entries = entries[2]
  end
else
  -- XRANGE or XREVRANGE: from, to, count
  entries = redis.pcall(command, KEYS[1], ARGV[3], ARGV[4], 'COUNT', ARGV[5])
end
if entries and entries.err then
  return entries
end
return {tonumber(time[1]), tonumber(time[2]), bounded(entries or {}, most)}
