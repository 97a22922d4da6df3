-- How far a group is behind: {not acknowledged, held, when the oldest of these was
-- appended, lost}.
local stream, state, group, nobody = KEYS[1], KEYS[2], ARGV[1], ARGV[2]
local lost = tonumber(redis.call('HGET', state, 'lost') or 0)
local last = '0-0'
local groups = redis.pcall('XINFO', 'GROUPS', stream)
if groups.err then return {0, 0, '', lost} end
for _, g in ipairs(groups) do
	local info = {}
	for i = 1, #g, 2 do info[g[i]] = g[i + 1] end
	if info.name == group then last = info['last-delivered-id'] end
end
local function read(e)
	local fields = {}
	for i = 1, #e[2], 2 do fields[e[2][i]] = e[2][i + 1] end
	return fields
end
local unread, oldest = 0, ''
local next = redis.call('XRANGE', stream, '(' .. last, '+', 'COUNT', 1)
if #next > 0 then
	local e = read(next[1])
	unread, oldest = tonumber(redis.call('HGET', state, 'count')) - tonumber(e.n) + 1, e.t
end
local pending = redis.pcall('XPENDING', stream, group)
if pending.err or pending[1] == 0 then return {unread, 0, oldest, lost} end
local held = pending[1]
for _, c in ipairs(pending[4]) do
	if c[1] == nobody then held = held - tonumber(c[2]) end
end
local first = redis.call('XRANGE', stream, pending[2], pending[2])
if #first > 0 then oldest = read(first[1]).t end
return {unread + pending[1], held, oldest, lost}
