// Package mark draws the mark that an item carries: a QR code as SVG, PNG, terminal
// text, or on a sheet of labels (PDF).
//
// The promise: a symbol holds exactly the text it was made of, in the smallest version
// that error correction level M allows, under the mask that ISO/IEC 18004 prefers, with
// the quiet zone of four modules in every drawing. The same text gives the same symbol,
// always, so a reprint is a copy. TestEncodeDecode reads symbols back with a decoder of
// its own.
//
// The package does no I/O but the writers it is given, and it knows no clock.
package mark

import (
	"sync"

	"rsc.io/qr/coding"

	"github.com/chopmark/chopmark/internal/platform/fault"
)

// quiet is the light border that ISO/IEC 18004 (section 9.1) asks around a symbol.
const quiet = 4

// Symbol is an encoded QR code. It never changes.
type Symbol struct {
	version int
	mask    int
	size    int
	dark    []bool // row by row, without the quiet zone
}

// Version is 1..40; a symbol of version v has 4·v + 17 modules on a side.
func (s *Symbol) Version() int { return s.version }

// Mask is the chosen data mask, 0..7.
func (s *Symbol) Mask() int { return s.mask }

// Size is the number of modules on a side, without the quiet zone.
func (s *Symbol) Size() int { return s.size }

// Dark tells whether the module at column x, row y is dark. Everything outside is light.
func (s *Symbol) Dark(x, y int) bool {
	return 0 <= x && x < s.size && 0 <= y && y < s.size && s.dark[y*s.size+x]
}

// New encodes one text. Who encodes many keeps an Encoder.
func New(text string) (*Symbol, error) { return NewEncoder().Encode(text) }

// Encoder makes symbols and remembers how each version is laid out, which is most of
// the work. It is safe for concurrent use.
type Encoder struct {
	mu      sync.Mutex
	layouts map[coding.Version]*layout // guarded by mu; its values never change
}

// NewEncoder makes an empty encoder.
func NewEncoder() *Encoder {
	return &Encoder{layouts: make(map[coding.Version]*layout)}
}

// Encode makes the symbol of a text. Fault: mark.bad_text for an empty text or one that
// does not fit version 40.
func (e *Encoder) Encode(text string) (*Symbol, error) {
	if text == "" {
		return nil, fault.Field("mark.bad_text", "text", "is empty")
	}
	version, segments, ok := fit(text)
	if !ok {
		return nil, fault.Field("mark.bad_text", "text", "%d bytes do not fit a QR code", len(text))
	}
	l, err := e.layout(version)
	if err != nil {
		return nil, err
	}
	code, err := l.plan.Encode(segments...)
	if err != nil {
		return nil, err
	}
	base := make([]bool, l.size*l.size)
	for i := range base {
		base[i] = code.Black(i%l.size, i/l.size)
	}
	mask, dark := l.bestMask(base)
	return &Symbol{version: int(version), mask: mask, size: l.size, dark: dark}, nil
}

// layout finds or makes the layout of a version.
func (e *Encoder) layout(v coding.Version) (*layout, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if l, ok := e.layouts[v]; ok {
		return l, nil
	}
	l, err := newLayout(v)
	if err != nil {
		return nil, err
	}
	e.layouts[v] = l
	return l, nil
}
