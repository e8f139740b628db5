-- What the scripts that read others' texts share. It stands before each of them.

local function size_of(texts)
  local size = 0
  for _, text in ipairs(texts) do
    size = size + #text
  end
  return size
end

-- Entries of a stream. Of one that is too long its size stands in the place of its fields.
local function bounded(entries, most)
  local read = {}
  for _, entry in ipairs(entries) do
    -- What was deleted while somebody held it is claimed without an entry on some servers.
    if entry and entry[2] then
      local size = size_of(entry[2])
      table.insert(read, {entry[1], size > most and size or entry[2]})
    end
  end
  return read
end

-- A whole hash, or its size where it is too long.
local function hash(key, most)
  local all = redis.call('HGETALL', key)
  local size = size_of(all)
  return size > most and size or all
end
