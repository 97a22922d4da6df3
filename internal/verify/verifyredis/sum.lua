-- raise is verify.Sum.Raise: ARGV from i on holds count, sessions, first at and in, last
-- at and in. It tells whether something changed.
local function raise(item, i)
	local c, s, f, fi, l, li = tonumber(ARGV[i]), tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2]), ARGV[i + 3], tonumber(ARGV[i + 4]), ARGV[i + 5]
	if c == 0 then return false end
	local changed = c > item.c or s > item.s
	if item.c == 0 or f < item.f then item.f, item.fi, changed = f, fi, true end
	if item.c == 0 or l > item.l then item.l, item.li, changed = l, li, true end
	item.c, item.s = math.max(item.c, c), math.max(item.s, s)
	return changed
end
