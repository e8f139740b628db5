-- Ends a plan: puts its final result on the stream and closes it, if the caller may end it.
-- KEYS: final mark, result stream, open plans, generation, receipt
-- ARGV: plan, how the open entry begins while the attempt holds it, how its receipt begins, new generation,
--       the generation in which the result was found out, 'executed' or 'not_executed', attempt, mark ttl,
--       stream length, field, value, ...
-- Returns {word, id, began, age, known}; the words:
--   published      it is on the stream now
--   stands         it was before, by this attempt: an answer was lost, or it is published again; nothing was written
--   corrected      the same, and it takes the place of one that said that nothing was executed
--   before         another attempt has published its end; nothing was written
--   contradicted   the same, that it was executed, though this attempt held the plan all the time
--   not held       nothing was executed, and the plan is not this attempt's to end; nothing was written
--   forgot         nothing was executed as far as was known before the store forgot; nothing was written
local entry, mark, receipt = read('HGET', KEYS[3], ARGV[1]), read('GET', KEYS[1]), redis.pcall('GET', KEYS[5])
local now = generation(KEYS[4], ARGV[4])
if wrong then
  return wrong
end
local function answer(word)
  return {word, now[1], now[2], now[3], now[4]}
end
local held, executed = begins(entry, ARGV[2]), ARGV[6] == 'executed'
local stood = string.match(mark or '', '^(%S+) ')
if stood ~= 'executed' and stood ~= 'not_executed' then
  stood = nil
end
local ours = mark == ARGV[6] .. ' ' .. ARGV[7]
local function publish()
  -- The stream first: a plan that is not open any more has its result.
  redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[9], '*', unpack(ARGV, 10))
  redis.call('SET', KEYS[1], ARGV[6] .. ' ' .. ARGV[7], 'EX', ARGV[8])
end
local function close()
  if held then
    if type(receipt) == 'string' and begins(receipt, ARGV[3]) then
      redis.call('DEL', KEYS[5])
    end
    redis.call('HDEL', KEYS[3], ARGV[1])
  end
end
if executed then
  if stood ~= 'executed' then
    publish()
  end
  close()
  if stood == 'executed' then
    return answer(ours and 'stands' or 'before')
  end
  return answer(stood and 'corrected' or 'published')
end
if stood then
  close()
  if stood == 'executed' and held and now[1] == ARGV[5] then
    return answer('contradicted')
  end
  return answer(ours and 'stands' or 'before')
end
if now[1] ~= ARGV[5] then
  return answer('forgot')
end
if not held then
  return answer('not held')
end
publish()
close()
return answer('published')
