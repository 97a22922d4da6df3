-- Adds a record behind the one that its log has before it. {1} = it is there, {0, top} =
-- something between top and it is missing here.
local stream, state, id, prev, link, at, value, force = KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local h = redis.call('HMGET', state, 'top', 'count', 'bytes')
local top = h[1] or '0-0'

local function parts(p)
	local generation, seq = string.match(p, '^(%d+)-(%d+)$')
	return tonumber(generation), tonumber(seq)
end
local tg, ts = parts(top)
local g, s = parts(id)
if tg > g or tg == g and ts >= s then return {1} end
if top ~= prev and force ~= '1' then return {0, top} end

local count, bytes = tonumber(h[2] or 0) + 1, tonumber(h[3] or 0) + #value
redis.call('XADD', stream, id, 'p', link, 't', at, 'n', count, 'b', bytes, 'v', value)
redis.call('HSET', state, 'top', id, 'count', count, 'bytes', bytes)
return {1}
