-- Looks at proposals, all at one moment. A field that is too long does not leave the server.
-- KEYS: proposal, ...
-- ARGV: most bytes of a field, field, ...
-- Returns one of these for each proposal:
--   {0, {value, ...}}     nil is the value of a field that is not there
--   {1, field, size}      the first field that is too long
--   {2, error}            no hash
local most, fields = tonumber(ARGV[1]), {}
for i = 2, #ARGV do
  fields[i - 1] = ARGV[i]
end

local function look(key)
  for _, field in ipairs(fields) do
    local size = redis.pcall('HSTRLEN', key, field)
    if type(size) == 'table' then
      return {2, size.err}
    end
    if size > most then
      return {1, field, size}
    end
  end
  return {0, redis.call('HMGET', key, unpack(fields))}
end

local looks = {}
for i, key in ipairs(KEYS) do
  looks[i] = look(key)
end
return looks
