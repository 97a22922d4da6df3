-- Tells a producer's shipper how its stream stands: {top, floor, bytes}. Every group has
-- ended all up to the floor. Groups that should be there are made, from the beginning;
-- without any group nothing is passed. At the time "through" the log had nothing behind the mark.
local stream, state, lost, mark, through = KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3]
local there = {}
local groups = redis.pcall('XINFO', 'GROUPS', stream)
if not groups.err then
	for _, g in ipairs(groups) do there[g[2]] = true end
end
for i = 4, #ARGV do
	if not there[ARGV[i]] then redis.call('XGROUP', 'CREATE', stream, ARGV[i], '0', 'MKSTREAM') end
end
redis.call('HSET', state, 'lost', lost, 'mark', mark, 'through', through)

local function parts(p)
	local generation, seq = string.match(p, '^(%d+)-(%d+)$')
	return tonumber(generation), tonumber(seq)
end
local fg, fs
groups = redis.pcall('XINFO', 'GROUPS', stream)
if not groups.err then
	for _, g in ipairs(groups) do
		local info = {}
		for i = 1, #g, 2 do info[g[i]] = g[i + 1] end
		local pg, ps = parts(info['last-delivered-id'])
		if info.pending > 0 then
			pg, ps = parts(redis.call('XPENDING', stream, info.name)[2])
			ps = ps - 1 -- no record has number 0
		end
		if not fg or pg < fg or pg == fg and ps < fs then fg, fs = pg, ps end
	end
end

local h = redis.call('HMGET', state, 'top', 'bytes')
local bytes = 0
local first = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)
if #first > 0 then
	local fields = {}
	for i = 1, #first[1][2], 2 do fields[first[1][2][i]] = first[1][2][i + 1] end
	bytes = tonumber(h[2] or 0) - tonumber(fields.b) + #fields.v
end
return {h[1] or '0-0', string.format('%.0f-%.0f', fg or 0, fs or 0), bytes}
