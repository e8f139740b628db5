-- Reads a page of the open plans. Of an entry that is too long only its size leaves the server.
-- KEYS: open plans
-- ARGV: cursor, entries of a page, most bytes of a plan's id, most bytes of an entry
-- Returns {next cursor, {plan, entry or size, ...}}
local page = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])
local found = page[2]
for i = 1, #found, 2 do
  found[i] = string.sub(found[i], 1, tonumber(ARGV[3]) + 1)
  if #found[i + 1] > tonumber(ARGV[4]) then
    found[i + 1] = #found[i + 1]
  end
end
return page
