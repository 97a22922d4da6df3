package mark

import (
	"errors"
	"fmt"
)

// A reader of symbols that shares no code or table with the writer: it is written from
// ISO/IEC 18004 for versions 1 to 10 at level M, checks the format information and the
// Reed–Solomon code words, and refuses whatever has an error in it.

// blocksM is Table 9 for level M: check words in a block, then blocks × data words.
var blocksM = [...]struct{ check, n1, data1, n2, data2 int }{
	1: {10, 1, 16, 0, 0}, {16, 1, 28, 0, 0}, {26, 1, 44, 0, 0}, {18, 2, 32, 0, 0}, {24, 2, 43, 0, 0},
	{16, 4, 27, 0, 0}, {18, 4, 31, 0, 0}, {22, 2, 38, 2, 39}, {22, 3, 36, 2, 37}, {26, 4, 43, 1, 44},
}

// alignment is Table E.1: the centres of the alignment patterns.
var alignment = [...][]int{
	1: nil, {6, 18}, {6, 22}, {6, 26}, {6, 30}, {6, 34}, {6, 22, 38}, {6, 24, 42}, {6, 26, 46}, {6, 28, 50},
}

// formatM is Table C.1 for level M, by mask, after its XOR.
var formatM = [...]int{0x5412, 0x5125, 0x5e7c, 0x5b4b, 0x45f9, 0x40ce, 0x4f97, 0x4aa0}

func decode(s *Symbol) (text string, modes []int, err error) {
	v := s.Version()
	if v < 1 || v > 10 || s.Size() != 4*v+17 {
		return "", nil, fmt.Errorf("version %d of size %d", v, s.Size())
	}
	mask, err := readFormat(s)
	if err != nil {
		return "", nil, err
	}
	if mask != s.Mask() {
		return "", nil, fmt.Errorf("format says mask %d, the symbol %d", mask, s.Mask())
	}
	data, err := deinterleave(readWords(s, mask), v)
	if err != nil {
		return "", nil, err
	}
	return readSegments(data, v)
}

// readFormat reads both copies of the format information.
func readFormat(s *Symbol) (int, error) {
	n := s.Size()
	var one, two int
	bit := func(word *int, x, y int) {
		*word <<= 1
		if s.Dark(x, y) {
			*word |= 1
		}
	}
	for x := range 6 { // most significant bit first: along row 8, then up column 8
		bit(&one, x, 8)
	}
	bit(&one, 7, 8)
	bit(&one, 8, 8)
	bit(&one, 8, 7)
	for y := 5; y >= 0; y-- {
		bit(&one, 8, y)
	}
	for y := n - 1; y > n-8; y-- {
		bit(&two, 8, y)
	}
	for x := n - 8; x < n; x++ {
		bit(&two, x, 8)
	}
	if one != two {
		return 0, fmt.Errorf("format %x and %x differ", one, two)
	}
	if !s.Dark(8, n-8) {
		return 0, errors.New("the dark module is light")
	}
	for mask, f := range formatM {
		if f == one {
			return mask, nil
		}
	}
	return 0, fmt.Errorf("format %x is not of level M", one)
}

// reserved tells the modules that carry no data.
func reserved(v, x, y int) bool {
	n := 4*v + 17
	if x == 6 || y == 6 || x < 9 && y < 9 || x >= n-8 && y < 9 || x < 9 && y >= n-8 {
		return true
	}
	if v >= 7 && (y < 6 && x >= n-11 && x < n-8 || x < 6 && y >= n-11 && y < n-8) {
		return true
	}
	c := alignment[v]
	for i, cx := range c {
		for j, cy := range c {
			corner := i == 0 && j == 0 || i == 0 && j == len(c)-1 || i == len(c)-1 && j == 0
			if !corner && x >= cx-2 && x <= cx+2 && y >= cy-2 && y <= cy+2 {
				return true
			}
		}
	}
	return false
}

func masked(mask, i, j int) bool { // i: row, j: column
	switch mask {
	case 0:
		return (i+j)%2 == 0
	case 1:
		return i%2 == 0
	case 2:
		return j%3 == 0
	case 3:
		return (i+j)%3 == 0
	case 4:
		return (i/2+j/3)%2 == 0
	case 5:
		return i*j%2+i*j%3 == 0
	case 6:
		return (i*j%2+i*j%3)%2 == 0
	}
	return ((i+j)%2+i*j%3)%2 == 0
}

func readWords(s *Symbol, mask int) []byte {
	n := s.Size()
	var bits []bool
	up := true
	for right := n - 1; right > 0; right -= 2 {
		if right == 6 {
			right--
		}
		for k := range n {
			y := k
			if up {
				y = n - 1 - k
			}
			for _, x := range [2]int{right, right - 1} {
				if !reserved(s.Version(), x, y) {
					bits = append(bits, s.Dark(x, y) != masked(mask, y, x))
				}
			}
		}
		up = !up
	}
	words := make([]byte, len(bits)/8)
	for i := range len(words) * 8 {
		if bits[i] {
			words[i/8] |= 0x80 >> (i % 8)
		}
	}
	return words
}

func deinterleave(words []byte, v int) ([]byte, error) {
	b := blocksM[v]
	n := b.n1 + b.n2
	blocks := make([][]byte, n)
	next := 0
	for i := range max(b.data1, b.data2) {
		for k := range n {
			if k < b.n1 && i >= b.data1 {
				continue
			}
			blocks[k] = append(blocks[k], words[next])
			next++
		}
	}
	for range b.check {
		for k := range n {
			blocks[k] = append(blocks[k], words[next])
			next++
		}
	}
	if next != len(words) {
		return nil, fmt.Errorf("%d code words read of %d", next, len(words))
	}
	var data []byte
	for _, block := range blocks {
		if err := checkBlock(block, b.check); err != nil {
			return nil, err
		}
		data = append(data, block[:len(block)-b.check]...)
	}
	return data, nil
}

// checkBlock wants all syndromes zero: the block's polynomial has the roots α^0, α^1, ….
func checkBlock(block []byte, check int) error {
	root := byte(1)
	for i := range check {
		var sum byte
		for _, w := range block {
			sum = multiply(sum, root) ^ w
		}
		if sum != 0 {
			return fmt.Errorf("syndrome %d is %d", i, sum)
		}
		root = multiply(root, 2)
	}
	return nil
}

// multiply is in GF(2^8) modulo x^8+x^4+x^3+x^2+1.
func multiply(a, b byte) byte {
	var p byte
	for ; b > 0; b >>= 1 {
		if b&1 != 0 {
			p ^= a
		}
		high := a & 0x80
		a <<= 1
		if high != 0 {
			a ^= 0x1d
		}
	}
	return p
}

// utf8Set stands among the modes for the mark of UTF-8.
const utf8Set = -1

type bitReader struct {
	data []byte
	at   int
}

func (r *bitReader) left() int { return 8*len(r.data) - r.at }

func (r *bitReader) read(n int) int {
	v := 0
	for range n {
		v = v<<1 | int(r.data[r.at/8]>>(7-r.at%8)&1)
		r.at++
	}
	return v
}

func readSegments(data []byte, v int) (text string, modes []int, err error) {
	wide := 0
	if v >= 10 {
		wide = 1
	}
	const table = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:"
	r := &bitReader{data: data}
	var out []byte
	for r.left() >= 4 {
		mode := r.read(4)
		if mode == 0 {
			break
		}
		switch mode {
		case 1:
			modes = append(modes, numeric)
			n := r.read([2]int{10, 12}[wide])
			for ; n >= 3; n -= 3 {
				out = fmt.Appendf(out, "%03d", r.read(10))
			}
			if n > 0 {
				out = fmt.Appendf(out, "%0*d", n, r.read(1+3*n))
			}
		case 2:
			modes = append(modes, alphanumeric)
			n := r.read([2]int{9, 11}[wide])
			for ; n >= 2; n -= 2 {
				pair := r.read(11)
				out = append(out, table[pair/45], table[pair%45])
			}
			if n == 1 {
				out = append(out, table[r.read(6)])
			}
		case 4:
			modes = append(modes, byteMode)
			for n := r.read([2]int{8, 16}[wide]); n > 0; n-- {
				out = append(out, byte(r.read(8)))
			}
		case 7:
			if set := r.read(8); set != 26 || len(out) > 0 {
				return "", nil, fmt.Errorf("character set %d after %q", set, out)
			}
			modes = append(modes, utf8Set)
		default:
			return "", nil, fmt.Errorf("mode %d", mode)
		}
	}
	for r.at%8 != 0 {
		if r.read(1) != 0 {
			return "", nil, errors.New("padding bits are not zero")
		}
	}
	for i := 0; r.left() > 0; i++ {
		if want := [2]int{0xec, 0x11}[i%2]; r.read(8) != want {
			return "", nil, errors.New("padding words are wrong")
		}
	}
	return string(out), modes, nil
}
