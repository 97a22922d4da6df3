-- Draws on an account as limit.Memory.Add does, by the server's clock. Times are in
-- microseconds. The fields of an account: p until when what was drawn is paid off,
-- o1 o2 o3 o4 the last operations, i the last of these.
local key, op, every, capacity, n = KEYS[1], ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000000 + tonumber(t[2])
local h = redis.call('HMGET', key, 'p', 'i', 'o1', 'o2', 'o3', 'o4')
local paid = tonumber(h[1] or 0)
for i = 3, 6 do
	if h[i] == op then return {math.max(paid - now, 0), now} end -- drawn before, and the answer was lost
end
paid = math.min(math.max(paid, now) + n * every, now + capacity)
local i = tonumber(h[2] or 0) % 4 + 1
redis.call('HSET', key, 'p', string.format('%.0f', paid), 'i', i, 'o' .. i, op)
redis.call('PEXPIRE', key, math.ceil(capacity / 1000) + 60000)
return {paid - now, now}
