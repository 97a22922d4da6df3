-- Keeps a letter, unless it is there and was tried as often.
local order, letters, member, tries, text = KEYS[1], KEYS[2], ARGV[1], tonumber(ARGV[2]), ARGV[3]
local there = redis.call('HGET', letters, member)
if there and tonumber(string.match(there, '^(%d+) ')) >= tries then return 0 end
redis.call('ZADD', order, 0, member)
redis.call('HSET', letters, member, ARGV[2] .. ' ' .. text)
return 1
