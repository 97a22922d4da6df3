-- Gives a consumer what nobody holds: first what was given back, then what is new.
local stream, group, consumer, nobody, most = KEYS[1], ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local given = {}
local free = redis.call('XPENDING', stream, group, '-', '+', most, nobody)
if #free > 0 then
	local ids = {}
	for i, e in ipairs(free) do ids[i] = e[1] end
	given = redis.call('XCLAIM', stream, group, consumer, 0, unpack(ids))
end
if #given < most then
	local new = redis.call('XREADGROUP', 'GROUP', group, consumer, 'COUNT', most - #given, 'STREAMS', stream, '>')
	if new then
		for _, e in ipairs(new[1][2]) do given[#given + 1] = e end
	end
end
return given
