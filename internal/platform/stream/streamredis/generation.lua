-- Hands out a generation that no producer has, after one that is known to be used.
local generations, producer, n = KEYS[1], ARGV[1], tonumber(ARGV[2])
n = math.max(n, tonumber(redis.call('HGET', generations, 'top') or 0)) + 1
while redis.call('HSETNX', generations, n, producer) == 0 do n = n + 1 end
redis.call('HSET', generations, 'top', n)
return n
