-- What the scripts of the open plans share. It stands before each of them.

-- Reads, and names the key where it holds another type. To be called before anything is written: a script
-- that fails then has changed nothing.
local wrong = nil
local function read(command, key, ...)
  local value = redis.pcall(command, key, ...)
  if type(value) == 'table' and value.err then
    local is = redis.pcall('TYPE', key).ok or 'value of another type'
    wrong = wrong or redis.error_reply('WRONGTYPE ' .. key .. ' holds a ' .. is
      .. ' and is no key of this service; rename or delete it (' .. value.err .. ')')
    return false
  end
  return value
end

-- What the store remembers since when. `key` holds `1 <id> <run id> <replication id> <microseconds>`. Where
-- it is missing, of another run or from the future, the store may have forgotten something: a new one
-- begins under the name `fresh`. Answers {id, microseconds it began at, its age, 1 where the server says
-- which run it is, else 0}.
local function generation(key, fresh)
  local time = redis.call('TIME')
  local now = time[1] * 1000000 + time[2]
  -- In one call, which costs three quarters of two; a server before 7.0 refuses it.
  local says = redis.pcall('INFO', 'server', 'replication')
  if type(says) ~= 'string' or not string.find(says, '\nmaster_replid:') then
    local server, replication = redis.pcall('INFO', 'server'), redis.pcall('INFO', 'replication')
    says = type(server) == 'string' and type(replication) == 'string' and server .. '\n' .. replication or ''
  end
  local run, known = '- -', 0
  local run_id, replid = string.match(says, '\nrun_id:(%w+)'), string.match(says, '\nmaster_replid:(%w+)')
  if run_id and replid then
    run, known = run_id .. ' ' .. replid, 1
  end
  local found = read('GET', key)
  if wrong then
    return nil
  end
  local id, of, began = string.match(found or '', '^1 (%S+) (%S+ %S+) (%d+)$')
  if not id or of ~= run or tonumber(began) > now then
    id, began = fresh, string.format('%.0f', now)
    redis.call('SET', key, '1 ' .. id .. ' ' .. run .. ' ' .. began)
  end
  return {id, began, string.format('%.0f', now - began), known}
end

-- Microseconds since a key was set to live for so many seconds. Whole seconds where this user may not ask for
-- more: then it is older rather than younger.
local function age_of(key, seconds)
  local left = redis.pcall('PTTL', key)
  if type(left) == 'table' then
    left = (redis.call('TTL', key) - 1) * 1000
  end
  return (seconds * 1000 - left) * 1000
end

local function begins(text, with)
  return text and string.sub(text, 1, #with) == with
end
