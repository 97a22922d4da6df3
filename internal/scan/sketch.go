package scan

import (
	"encoding/binary"
	"errors"
	"math"
	"math/bits"
	"slices"

	"github.com/chopmark/chopmark/internal/ids"
)

// Sketch counts distinct items in a few kilobytes and can be united with others.
// Up to sketchExact items it is a list of them and exact; beyond it is a HyperLogLog
// (Flajolet et al. 2007) of 2^13 registers with a standard error of 1.04/√2^13 =
// 1.15 %. github.com/axiomhq/hyperloglog was looked at: its sparse form is not
// exact and it brings two hash libraries for these hundred lines.
type Sketch struct {
	hashes []uint64 // sorted, each once; while registers is nil
	added  []uint64 // not sorted in yet
	regs   []uint8  // nil while exact
}

const (
	sketchBits  = 13
	sketchRegs  = 1 << sketchBits
	sketchExact = 1024 // 8 KiB, as many bytes as the registers

	// SketchError is the standard error of a sketch that is not exact.
	SketchError = 0.0115
)

// hash spreads serials, which are dense, over 64 bits (splitmix64, a bijection: no
// two items share a hash).
func hash(s ids.Serial) uint64 {
	z := uint64(s) + 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// Add counts an item.
func (k *Sketch) Add(s ids.Serial) { k.addHash(hash(s)) }

func (k *Sketch) addHash(h uint64) {
	if k.regs != nil {
		k.register(h)
		return
	}
	if k.added = append(k.added, h); len(k.added) > sketchExact {
		k.settle()
	}
}

// settle sorts in what was added, and goes over to registers when that is too much.
func (k *Sketch) settle() {
	if len(k.added) == 0 {
		return
	}
	k.hashes = append(k.hashes, k.added...)
	k.added = k.added[:0]
	slices.Sort(k.hashes)
	k.hashes = slices.Compact(k.hashes)
	if len(k.hashes) > sketchExact {
		k.regs = make([]uint8, sketchRegs)
		for _, h := range k.hashes {
			k.register(h)
		}
		k.hashes, k.added = nil, nil
	}
}

func (k *Sketch) register(h uint64) {
	r := &k.regs[h>>(64-sketchBits)]
	*r = max(*r, uint8(bits.LeadingZeros64(h<<sketchBits|1<<(sketchBits-1)))+1)
}

// Unite counts the items of another sketch too.
func (k *Sketch) Unite(o *Sketch) {
	o.settle()
	if o.regs == nil {
		for _, h := range o.hashes {
			k.addHash(h)
		}
		return
	}
	if k.settle(); k.regs == nil {
		k.regs = make([]uint8, sketchRegs)
		for _, h := range k.hashes {
			k.register(h)
		}
		k.hashes = nil
	}
	for i, r := range o.regs {
		k.regs[i] = max(k.regs[i], r)
	}
}

// Count is how many items there are, and whether that is exact.
func (k *Sketch) Count() (n int64, exact bool) {
	if k.settle(); k.regs == nil {
		return int64(len(k.hashes)), true
	}
	const m = float64(sketchRegs)
	sum, empty := 0.0, 0
	for _, r := range k.regs {
		sum += math.Ldexp(1, -int(r))
		if r == 0 {
			empty++
		}
	}
	estimate := 0.7213 / (1 + 1.079/m) * m * m / sum
	if estimate <= 2.5*m && empty > 0 {
		estimate = m * math.Log(m/float64(empty)) // linear counting is nearer here
	}
	return int64(estimate + 0.5), false
}

// The stored forms.
const (
	sketchList      = 1
	sketchRegisters = 2
)

// Bytes is the stored form.
func (k *Sketch) Bytes() []byte {
	if k.settle(); k.regs != nil {
		return append([]byte{sketchRegisters}, k.regs...)
	}
	b := make([]byte, 1, 1+8*len(k.hashes))
	b[0] = sketchList
	for _, h := range k.hashes {
		b = binary.LittleEndian.AppendUint64(b, h)
	}
	return b
}

var errSketch = errors.New("scan: a stored sketch is damaged")

// ParseSketch is the reverse of Bytes.
func ParseSketch(b []byte) (*Sketch, error) {
	switch {
	case len(b) == 1+sketchRegs && b[0] == sketchRegisters:
		return &Sketch{regs: slices.Clone(b[1:])}, nil
	case len(b) > 0 && b[0] == sketchList && (len(b)-1)%8 == 0 && len(b)-1 <= 8*sketchExact:
		k := &Sketch{}
		for at := 1; at < len(b); at += 8 {
			k.hashes = append(k.hashes, binary.LittleEndian.Uint64(b[at:]))
		}
		if !slices.IsSorted(k.hashes) {
			return nil, errSketch
		}
		return k, nil
	}
	return nil, errSketch
}

// Copy is an independent sketch of the same items. Reading one sorts in what was
// added, so who shares one reads a copy.
func (k *Sketch) Copy() *Sketch {
	return &Sketch{hashes: slices.Clone(k.hashes), added: slices.Clone(k.added), regs: slices.Clone(k.regs)}
}
