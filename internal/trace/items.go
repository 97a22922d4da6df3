package trace

import (
	"cmp"
	"encoding/binary"
	"errors"
	"iter"
	"slices"
	"strings"

	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
)

// Items is what the repository wants of coded items.
type Items interface {
	// Finder gives what finds items for one request.
	Finder() Finder
	// Code is the code of an item.
	Code(s ids.Serial) string
	// Prefixes are the GS1 company prefixes that a brand says it has.
	Prefixes(brand ids.BrandID) []string
}

// Finder tells which item a code of 18 digits is; ok is false when it is none. It is for one
// goroutine, and for a moment: what it has learned of a product it does not ask again.
type Finder func(code string) (it Item, ok bool, _ error)

// Item is one of ours.
type Item struct {
	Serial ids.Serial
	Brand  ids.BrandID
	GTIN   gs1.GTIN // of its product; "" = it has none
}

// Run is a run of serials, both ends included.
type Run struct{ From, To ids.Serial }

// Group is EPCs of ours that are written alike: a prefix, the code, a suffix. However
// many they are, they are kept as runs.
type Group struct {
	Prefix, Suffix string
	Runs           []Run
}

const codeDigits = 18

// ours finds the item that an EPC names: an SGTIN of ours, or an address that ends with a
// code. at is where in the EPC the code stands.
func ours(find Finder, epc, canonical string) (it Item, at int, ok bool, err error) {
	if len(canonical) <= codeDigits {
		return it, 0, false, nil // also 18 digits alone: they name no item here
	}
	code := canonical[len(canonical)-codeDigits:]
	if !isDigits(code) || canonical[len(canonical)-codeDigits-1] != '/' {
		return it, 0, false, nil
	}
	if at = len(epc) - codeDigits; at < 0 || epc[at:] != code {
		if at = strings.LastIndex(epc, code); at < 0 {
			return it, 0, false, nil
		}
	}
	if it, ok, err = find(code); !ok || err != nil {
		return it, 0, false, err
	}
	key, isKey := strings.CutPrefix(canonical, gs1.CanonicalStem+"/01/")
	if isKey {
		gtin, between, _ := strings.Cut(key[:len(key)-codeDigits], "/")
		if gtin != it.GTIN.String() || between != "21/" {
			return it, 0, false, nil // a code of ours under a GTIN that is not its own
		}
	}
	return it, at, true, nil
}

// sorter takes EPCs apart into ours, of one brand, and those of others.
type sorter struct {
	find   Finder
	brand  ids.BrandID
	groups map[spelling]*[]ids.Serial
	spelt  spelling // of the last one that was ours
	last   *[]ids.Serial
	others []string // as they were written
	names  []string // of others, canonical
	err    error
}

// spelling is how an EPC of ours is written, before and behind its code.
type spelling struct{ prefix, suffix string }

func (s *sorter) add(epc, canonical string) {
	it, at, ok, err := ours(s.find, epc, canonical)
	if err != nil {
		s.err = err
	}
	if !ok || it.Brand != s.brand {
		s.others, s.names = append(s.others, epc), append(s.names, canonical)
		return
	}
	if f := (spelling{epc[:at], epc[at+codeDigits:]}); s.last == nil || f != s.spelt {
		s.spelt = f
		if s.last = s.groups[f]; s.last == nil {
			if s.groups == nil {
				s.groups = map[spelling]*[]ids.Serial{}
			}
			s.last = &[]ids.Serial{}
			s.groups[f] = s.last
		}
	}
	*s.last = append(*s.last, it.Serial)
}

func (s *sorter) done() []Group {
	var out []Group
	for as, serials := range s.groups {
		out = append(out, Group{as.prefix, as.suffix, runsOf(*serials)})
	}
	slices.SortFunc(out, func(a, b Group) int {
		return cmp.Or(cmp.Compare(a.Prefix, b.Prefix), cmp.Compare(a.Suffix, b.Suffix))
	})
	return out
}

func runsOf(serials []ids.Serial) []Run {
	slices.Sort(serials)
	var out []Run
	for _, s := range serials {
		if n := len(out); n > 0 && s <= out[n-1].To+1 {
			out[n-1].To = s
		} else {
			out = append(out, Run{s, s})
		}
	}
	return out
}

// numbered takes texts apart that are alike but for 18 digits at their end, as the names of a
// product's items are: the numbers are sorted, and so are the texts then.
func numbered(all []string) (head string, numbers []uint64, ok bool) {
	if len(all) == 0 || len(all[0]) < codeDigits {
		return "", nil, false
	}
	head = all[0][:len(all[0])-codeDigits]
	numbers = make([]uint64, len(all))
	for i, s := range all {
		if len(s) != len(head)+codeDigits || s[:len(head)] != head {
			return "", nil, false
		}
		for _, c := range []byte(s[len(head):]) {
			if c < '0' || c > '9' {
				return "", nil, false
			}
			numbers[i] = numbers[i]*10 + uint64(c-'0')
		}
	}
	slices.Sort(numbers)
	return head, numbers, true
}

// appendCode writes a number as 18 digits.
func appendCode(dst []byte, n uint64) []byte {
	var code [codeDigits]byte
	const half = 1_000_000_000
	high, low := uint32(n/half), uint32(n%half)
	for i := codeDigits/2 - 1; i >= 0; i-- {
		code[i], code[i+codeDigits/2] = '0'+byte(high%10), '0'+byte(low%10)
		high, low = high/10, low/10
	}
	return append(dst, code[:]...)
}

// serials are those of a group, one after the other.
func (g *Group) serials() iter.Seq[ids.Serial] {
	return func(yield func(ids.Serial) bool) {
		for _, r := range g.Runs {
			for s := r.From; s <= r.To; s++ {
				if !yield(s) {
					return
				}
			}
		}
	}
}

// encodeGroups is the stored form of an event's lists of ours.
func encodeGroups(lists ...[]Group) []byte {
	var out []byte
	put := func(s string) {
		out = append(binary.AppendUvarint(out, uint64(len(s))), s...)
	}
	for _, groups := range lists {
		out = binary.AppendUvarint(out, uint64(len(groups)))
		for _, g := range groups {
			put(g.Prefix)
			put(g.Suffix)
			out = binary.AppendUvarint(out, uint64(len(g.Runs)))
			end := ids.Serial(0)
			for _, r := range g.Runs {
				out = binary.AppendUvarint(out, uint64(r.From-end))
				out = binary.AppendUvarint(out, uint64(r.To-r.From))
				end = r.To
			}
		}
	}
	return out
}

var errDamaged = errors.New("trace: a stored event is damaged")

// decodeGroups reads two lists.
func decodeGroups(raw []byte) (lists [2][]Group, _ error) {
	bad := false
	number := func() uint64 {
		v, n := binary.Uvarint(raw)
		if n <= 0 {
			bad, raw = true, nil
			return 0
		}
		raw = raw[n:]
		return v
	}
	str := func() string {
		n := number()
		if n > uint64(len(raw)) {
			bad = true
			return ""
		}
		s := string(raw[:n])
		raw = raw[n:]
		return s
	}
	for i := range lists {
		for n := number(); n > 0 && !bad; n-- {
			g := Group{Prefix: str(), Suffix: str()}
			end := ids.Serial(0)
			for m := number(); m > 0 && !bad; m-- {
				r := Run{From: end + ids.Serial(number())}
				r.To = r.From + ids.Serial(number())
				g.Runs, end = append(g.Runs, r), r.To
			}
			lists[i] = append(lists[i], g)
		}
	}
	if bad || len(raw) > 0 {
		return lists, errDamaged
	}
	return lists, nil
}
