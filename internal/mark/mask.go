package mark

import (
	"fmt"

	"rsc.io/qr/coding"
)

const maskCount = 8

// layout is how a version's symbol is laid out: the plan under mask 0, and for each
// mask the modules (data and format) that differ from it.
type layout struct {
	plan *coding.Plan
	size int
	flip [maskCount][]bool
}

func newLayout(v coding.Version) (*layout, error) {
	l := &layout{}
	for m := range maskCount {
		plan, err := coding.NewPlan(v, coding.M, coding.Mask(m))
		if err != nil {
			return nil, fmt.Errorf("lay out QR version %d: %w", v, err)
		}
		if m == 0 {
			l.plan, l.size = plan, len(plan.Pixel)
		}
		flip := make([]bool, 0, l.size*l.size)
		for y, row := range plan.Pixel {
			for x, p := range row {
				flip = append(flip, (p^l.plan.Pixel[y][x])&coding.Black != 0)
			}
		}
		l.flip[m] = flip
	}
	return l, nil
}

// bestMask picks the mask with the lowest penalty (ISO/IEC 18004, section 7.8.3), the
// lower number when two are equal, and returns the modules under it. base is the symbol
// under mask 0.
func (l *layout) bestMask(base []bool) (mask int, dark []bool) {
	dark = make([]bool, len(base))
	candidate := make([]bool, len(base))
	lowest := -1
	for m := range maskCount {
		for i, b := range base {
			candidate[i] = b != l.flip[m][i]
		}
		if p := penalty(candidate, l.size); lowest < 0 || p < lowest {
			lowest, mask = p, m
			dark, candidate = candidate, dark
		}
	}
	return mask, dark
}

// penalty sums the four rules.
func penalty(dark []bool, size int) int {
	sum := penaltyBlocks(dark, size) + penaltyBalance(dark)
	for i := range size {
		row, column := dark[i*size:], dark[i:]
		sum += penaltyRuns(row, size, 1) + penaltyRuns(column, size, size)
		sum += penaltyFinders(row, size, 1) + penaltyFinders(column, size, size)
	}
	return sum
}

// penaltyRuns is rule 1 for one line: 3 for five modules of one colour in a row, and 1
// for each further one. The line's modules are step apart.
func penaltyRuns(line []bool, size, step int) int {
	sum, run := 0, 1
	for i := 1; i < size; i++ {
		if line[i*step] != line[(i-1)*step] {
			run = 1
			continue
		}
		run++
		if run == 5 {
			sum += 3
		} else if run > 5 {
			sum++
		}
	}
	return sum
}

// penaltyBlocks is rule 2: 3 for each 2×2 block of one colour, overlaps included.
func penaltyBlocks(dark []bool, size int) int {
	sum := 0
	for y := range size - 1 {
		above, below := dark[y*size:(y+1)*size], dark[(y+1)*size:(y+2)*size]
		for x := range size - 1 {
			if c := above[x]; c == above[x+1] && c == below[x] && c == below[x+1] {
				sum += 3
			}
		}
	}
	return sum
}

// penaltyFinders is rule 3 for one line: 40 for each 1:1:3:1:1 run (what a finder
// pattern looks like) with four light modules before or after it. The quiet zone counts
// as light: a reader sees it so.
func penaltyFinders(line []bool, size, step int) int {
	const (
		window = 15 // four modules, the seven of the pattern, four modules
		core   = 0b1011101
	)
	sum, seen := 0, 0 // seen: the last 15 modules as bits
	for i := range size + 4 {
		seen = seen << 1 & (1<<window - 1)
		if i < size && line[i*step] {
			seen |= 1
		}
		if i >= 10 && seen>>4&0b1111111 == core && (seen&0b1111 == 0 || seen>>11 == 0) {
			sum += 40
		}
	}
	return sum
}

// penaltyBalance is rule 4: 10 for each full 5 % by which the share of dark modules is
// away from one half.
func penaltyBalance(dark []bool) int {
	n := 0
	for _, d := range dark {
		if d {
			n++
		}
	}
	off := 2*n - len(dark) // twice the distance from one half, in modules
	if off < 0 {
		off = -off
	}
	return off * 10 / len(dark) * 10
}
