package load

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
)

// Mix is the share of each kind, of their sum.
type Mix [kinds]int

// weightMax is the largest share.
const weightMax = 1_000_000

// ParseMix reads "fresh=70,repeat=20,stale=5,forged=5"; what is not named is 0.
func ParseMix(text string) (m Mix, _ error) {
	named := map[Kind]bool{}
	for part := range strings.SplitSeq(text, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		kind, ok := kindOf(name)
		if !ok {
			return m, fmt.Errorf("mix: %q is not a kind: fresh, repeat, stale, forged or malformed", name)
		}
		n, err := strconv.Atoi(value)
		if err != nil || n < 0 || n > weightMax || named[kind] {
			return m, fmt.Errorf("mix: %q must be %s= and a whole number up to %d, once", part, name, weightMax)
		}
		m[kind], named[kind] = n, true
	}
	if m.sum() == 0 {
		return m, fmt.Errorf("mix: %q asks for nothing", text)
	}
	return m, nil
}

func kindOf(name string) (Kind, bool) {
	for k := range kinds {
		if k.String() == name {
			return k, true
		}
	}
	return 0, false
}

func (m *Mix) sum() (n int) {
	for _, share := range m {
		n += share
	}
	return n
}

// pick gives a kind by its share.
func (m *Mix) pick() Kind {
	at := rand.IntN(m.sum())
	for k, share := range m {
		if at -= share; at < 0 {
			return Kind(k)
		}
	}
	return Fresh // never: at is below the sum
}
