package mark

import (
	"math"
	"strings"
	"unicode/utf8"

	"rsc.io/qr/coding"
)

// The three encoding modes, densest first.
const (
	numeric = iota
	alphanumeric
	byteMode
	modeCount
)

const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:"

// versionClasses are the last versions of the three ranges in which the width of a
// segment's count, and with it the best way to cut a text, stays the same.
var versionClasses = [...]coding.Version{9, 26, coding.MaxVersion}

// fit finds the smallest version that holds the text and how the text is cut for it.
func fit(text string) (coding.Version, []coding.Encoding, bool) {
	v := coding.Version(coding.MinVersion)
	for _, last := range versionClasses {
		segments := split(text, last)
		if isUTF8(text) {
			segments = append([]coding.Encoding{utf8Mark{}}, segments...)
		}
		bits := 0
		for _, s := range segments {
			bits += s.Bits(last)
		}
		for ; v <= last; v++ {
			if bits <= 8*v.DataBytes(coding.M) {
				return v, segments, true
			}
		}
	}
	return 0, nil, false
}

// split cuts the text into segments so that the fewest bits are used, at the count
// widths of version v. It walks the bytes once and keeps, for each mode, the cheapest
// way to have encoded everything so far ending in that mode. Costs are in sixths of a
// bit, since a digit takes 10/3 bits and an alphanumeric character 11/2.
func split(text string, v coding.Version) []coding.Encoding {
	var head, cost [modeCount]int
	for m := range modeCount {
		head[m] = 6 * encoding(m, "").Bits(v)
		cost[m] = head[m]
	}
	modes := make([][modeCount]uint8, len(text)) // modes[i][m]: the mode before byte i on the way to m
	for i := range len(text) {
		for m := range modeCount {
			modes[i][m] = uint8(m)
		}
		if i > 0 { // a switch of mode starts a new segment, on a whole bit
			from := cheapest(cost)
			whole := (cost[from] + 5) / 6 * 6
			for m := range modeCount {
				if whole+head[m] < cost[m] {
					cost[m], modes[i][m] = whole+head[m], uint8(from)
				}
			}
		}
		for m := range modeCount {
			per := bitsSixths(m, text[i])
			if per == 0 || cost[m] == math.MaxInt {
				cost[m] = math.MaxInt
				continue
			}
			cost[m] += per
		}
	}
	return cut(text, modes, cheapest(cost))
}

// cut turns the remembered choices into segments, from the end to the start.
func cut(text string, modes [][modeCount]uint8, mode int) []coding.Encoding {
	var segments []coding.Encoding
	end := len(text)
	for i := len(text) - 1; i >= 0; i-- {
		before := int(modes[i][mode])
		if i > 0 && before == mode {
			continue
		}
		segments = append(segments, encoding(mode, text[i:end]))
		end, mode = i, before
	}
	for i, j := 0, len(segments)-1; i < j; i, j = i+1, j-1 {
		segments[i], segments[j] = segments[j], segments[i]
	}
	return segments
}

func cheapest(cost [modeCount]int) int {
	best := 0
	for m := range modeCount {
		if cost[m] < cost[best] {
			best = m
		}
	}
	return best
}

// bitsSixths is what one byte costs in a mode; 0 when the mode cannot hold it.
func bitsSixths(mode int, c byte) int {
	switch {
	case mode == numeric && '0' <= c && c <= '9':
		return 20
	case mode == alphanumeric && strings.IndexByte(alphabet, c) >= 0:
		return 33
	case mode == byteMode:
		return 48
	}
	return 0
}

func encoding(mode int, text string) coding.Encoding {
	switch mode {
	case numeric:
		return coding.Num(text)
	case alphanumeric:
		return coding.Alpha(text)
	}
	return coding.String(text)
}

// utf8Mark tells a reader that the bytes after it are UTF-8 (extended channel
// interpretation 26). Without it readers guess, and guess wrong for short texts.
type utf8Mark struct{}

func (utf8Mark) Check() error            { return nil }
func (utf8Mark) Bits(coding.Version) int { return 12 }
func (utf8Mark) Encode(b *coding.Bits, _ coding.Version) {
	b.Write(0b0111, 4)
	b.Write(26, 8)
}

// isUTF8 tells a text that needs the mark: ASCII means the same with and without it.
func isUTF8(text string) bool {
	for i := range len(text) {
		if text[i] >= utf8.RuneSelf {
			return utf8.ValidString(text)
		}
	}
	return false
}
