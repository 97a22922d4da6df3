-- How far a group has come in a producer's stream: {mark, through, floor}. What the producer's
-- log had by the time "through" is up to the mark; the group has ended all up to the floor.
local stream, state, group = KEYS[1], KEYS[2], ARGV[1]
local floor = '0-0'
local groups = redis.pcall('XINFO', 'GROUPS', stream)
if not groups.err then
	for _, g in ipairs(groups) do
		local info = {}
		for i = 1, #g, 2 do info[g[i]] = g[i + 1] end
		if info.name == group then
			floor = info['last-delivered-id']
			if info.pending > 0 then
				local first, seq = string.match(redis.call('XPENDING', stream, group)[2], '^(%d+)-(%d+)$')
				floor = string.format('%s-%.0f', first, tonumber(seq) - 1) -- no record has number 0
			end
		end
	end
end
local h = redis.call('HMGET', state, 'mark', 'through')
return {h[1] or '', h[2] or '', floor}
