-- Gives back what a consumer holds: it ends in order.
local stream, group, consumer, nobody = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
while true do
	local held = redis.call('XPENDING', stream, group, '-', '+', 500, consumer)
	if #held == 0 then break end
	local ids = {}
	for i, e in ipairs(held) do ids[i] = e[1] end
	ids[#ids + 1] = 'JUSTID'
	redis.call('XCLAIM', stream, group, nobody, 0, unpack(ids))
end
redis.call('XGROUP', 'DELCONSUMER', stream, group, consumer)
return 0
