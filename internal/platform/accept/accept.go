// Package accept reads what a client prefers: the ranges of Accept and of its kin, with their
// weights (RFC 9110, 12.4.2).
package accept

import (
	"iter"
	"strconv"
	"strings"
)

// rangesMax bounds what is read of a header.
const rangesMax = 32

// Ranges gives each range of a header with its weight in thousandths; a weight that cannot be
// read is none.
func Ranges(header string) iter.Seq2[string, int] {
	return func(yield func(string, int) bool) {
		n := 0
		for part := range strings.SplitSeq(header, ",") {
			if n++; n > rangesMax {
				return
			}
			name, parameters, _ := strings.Cut(part, ";")
			weight := 1000
			for p := range strings.SplitSeq(parameters, ";") {
				if p = strings.TrimSpace(p); len(p) > 2 && (p[0] == 'q' || p[0] == 'Q') && p[1] == '=' {
					q, err := strconv.ParseFloat(p[2:], 64)
					if err != nil || !(q >= 0 && q <= 1) {
						q = 0
					}
					weight = int(q * 1000)
				}
			}
			if !yield(strings.TrimSpace(name), weight) {
				return
			}
		}
	}
}
