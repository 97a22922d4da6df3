-- Takes over what a summary knows more of. An item that is not here is loaded when it is
-- scanned; its life is not longer for this.
local key = KEYS[1]
local h = redis.call('HMGET', key, 'c', 's', 'f', 'fi', 'l', 'li')
if not h[1] then return 0 end
local item = {c = tonumber(h[1]), s = tonumber(h[2]), f = tonumber(h[3]), fi = h[4], l = tonumber(h[5]), li = h[6]}
if not raise(item, 1) then return 0 end
redis.call('HSET', key, 'c', item.c, 's', item.s, 'f', item.f, 'fi', item.fi, 'l', item.l, 'li', item.li)
return 1
