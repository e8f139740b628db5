-- What the scripts that read fields of stream entries share. It stands before each of them.

-- The fields of an entry that are named in `of`, each cut to its first `most` bytes; the others keep what `of` says.
local function fields(entry, of, most)
  for j = 1, #entry[2], 2 do
    local name = entry[2][j]
    if of[name] then
      of[name] = string.sub(entry[2][j + 1], 1, most)
    end
  end
  return of
end
