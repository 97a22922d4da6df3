-- Counts a scan of an item by the rules of verify.Tally; TestAgainstModel holds both to
-- each other. The fields of an item:
--   c count, s sessions, f first at, fi first in, l last at, li last in,
--   v1 v2 v3 devices that came last, "device:second",
--   o1 o2 o3 o4 the last operations, "id count what",
--   p, pi last at and in before the last operation
local key, op, at, device, place, life, own = KEYS[1], ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])
local again = ARGV[7] == '1' -- the answer to the same operation did not come
local known = #ARGV > 7      -- what is known elsewhere is given: take it over

local h = redis.call('HMGET', key, 'c', 's', 'f', 'fi', 'l', 'li', 'p', 'pi', 'v1', 'v2', 'v3', 'o1', 'o2', 'o3', 'o4')
local item = {c = tonumber(h[1] or 0), s = tonumber(h[2] or 0), f = tonumber(h[3] or 0), fi = h[4] or '', l = tonumber(h[5] or 0), li = h[6] or ''}

for i = 12, 15 do
	if h[i] and string.find(h[i], op .. ' ', 1, true) == 1 then -- counted before, and the answer was lost
		local count, what = string.match(h[i], ' (%d+) (%d+)$')
		local p, pi = 0, ''
		if tonumber(count) == item.c then p, pi = tonumber(h[7]), h[8] end
		return {1, tonumber(count), item.s, item.f, item.fi, item.l, place, tonumber(what), p, pi}
	end
end

if again and h[12] and h[13] and h[14] and h[15] then return {-2} end -- it may have been before these four

if known then
	raise(item, 8)
elseif not h[1] then
	return {0}
elseif item.c < own then
	return {-1}
end

-- the visit
local second, found, oldest, seconds = math.floor(at / 1000000), 0, 1, {}
for i = 1, 3 do
	local d, t = string.match(h[8 + i] or '', '^(%d+):(%d+)$')
	seconds[i] = tonumber(t or 0)
	if d == device and seconds[i] ~= 0 then found = i end
	if seconds[i] < seconds[oldest] then oldest = i end
end
local begins = true
if found ~= 0 then
	begins = second - seconds[found] > 86400
	oldest, second = found, math.max(second, seconds[found])
end

local what = 0
if item.c == 0 then
	what, item.f, item.fi = 1, at, place
end
if item.c == 0 or math.floor(at / 86400000000) > math.floor(item.l / 86400000000) then what = what + 2 end
if begins then
	what, item.s = what + 4, item.s + 1
end
local p, pi = item.l, item.li
item.c, item.l, item.li = item.c + 1, math.max(item.l, at), place
redis.call('HSET', key, 'c', item.c, 's', item.s, 'f', item.f, 'fi', item.fi, 'l', item.l, 'li', item.li, 'p', p, 'pi', pi,
	'v' .. oldest, device .. ':' .. string.format('%.0f', math.max(second, 1)),
	'o' .. (item.c % 4 + 1), op .. ' ' .. string.format('%.0f', item.c) .. ' ' .. what)
redis.call('PEXPIRE', key, life)
return {1, item.c, item.s, item.f, item.fi, item.l, item.li, what, p, pi}
