package load

import "math/rand/v2"

// Pick is how a repeat chooses its code.
type Pick uint8

// The distributions.
const (
	Uniform Pick = iota
	Zipf         // the code at place k, from 1, with a probability in proportion to k^-1.1
)

// zipfExponent is a little steeper than Zipf's own law, as the popularity of goods is.
const zipfExponent = 1.1

// zipf draws places. It may be used by many at once: the generator keeps no state but
// its source.
type zipf struct{ gen *rand.Zipf }

func newZipf(n int) *zipf {
	return &zipf{rand.NewZipf(rand.New(shared{}), zipfExponent, 1, uint64(n-1))}
}

// draw gives a place below n, from 0. Those beyond are drawn again, so what is left is
// Zipf's law over n; the first place alone has an eighth of any draw, so that is soon.
func (z *zipf) draw(n int) int {
	for {
		if k := z.gen.Uint64(); k < uint64(n) {
			return int(k)
		}
	}
}

// shared is the process's own generator, which is safe for all.
type shared struct{}

// Uint64 implements rand.Source.
func (shared) Uint64() uint64 { return rand.Uint64() }
