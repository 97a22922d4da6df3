-- Notes a producer and whose a generation is: {1 when the producer was not known, owner}.
local producers, generations, producer, n = KEYS[1], KEYS[2], ARGV[1], ARGV[2]
local new = redis.call('SADD', producers, producer)
redis.call('HSETNX', generations, n, producer)
if tonumber(redis.call('HGET', generations, 'top') or 0) < tonumber(n) then redis.call('HSET', generations, 'top', n) end
return {new, redis.call('HGET', generations, n)}
