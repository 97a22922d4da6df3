package geoip

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"unicode/utf8"
)

// The layout of ip2region .xdb, from the description in its maker and the searcher of
// its Go binding (github.com/lionsoul2014/ip2region). Little-endian throughout, except
// that IPv6 addresses are in network order:
//
//	0       u16 structure version: 2, or 3 since IPv6 came
//	2       u16 index policy: 1 vector, 2 tree; makers write the same file for both
//	4       u32 created, Unix seconds
//	8       u32 pointer to the first segment
//	12      u32 pointer to the last segment, not behind it
//	16      u16 IP version, 4 or 6 (structure 3 only)
//	18      u16 bytes of a pointer, 4 (structure 3 only)
//	256     vector index: for each first two bytes of an address, u32 pointer to the
//	        first segment and u32 pointer behind the last; 0 = none
//	524544  texts, then segments: first address, last address, u16 bytes of the text,
//	        u32 pointer to it. The maker cuts segments at each /16.
const (
	xdbVectorAt   = 256
	xdbVectorSize = 8
	xdbTextsAt    = xdbVectorAt + 256*256*xdbVectorSize
	xdbV4Segment  = 4 + 4 + 2 + 4
	xdbV6Segment  = 16 + 16 + 2 + 4
)

// errNotXDB says that the first bytes are not those of an .xdb file of any version.
var errNotXDB = errors.New("not ip2region .xdb")

// xdb reads ip2region files. Nothing that it finds in the file is trusted.
type xdb struct {
	data       []byte
	start, end int  // of the segments, whole ones
	segment    int  // bytes of one
	v6         bool // addresses of 16 bytes
	fields     fieldOrder
	gazetteer  gazetteer
	seen       *seen
}

// fieldOrder is where a text of five fields or more has its parts. It is one of three
// things, and the files do not say which:
//
//	国家|区域|省份|城市|ISP       until 2025; 区域 was 0 in the last years
//	国家|省份|城市|ISP            from structure 3 on: told by its four fields
//	国家|省份|城市|ISP|CN         since January 2026 (ip2region pull request 427)
//
// Owners may append fields of their own.
type fieldOrder int

const (
	withArea    fieldOrder = iota // province is the third field
	withoutArea                   // province is the second
)

func newXDB(data []byte) (*xdb, error) {
	u16 := func(at int) int { return int(binary.LittleEndian.Uint16(data[at:])) }
	u32 := func(at int) int { return int(binary.LittleEndian.Uint32(data[at:])) }
	if len(data) < 4 || u16(0) == 0 || u16(0) > 15 || u16(2) < 1 || u16(2) > 2 {
		return nil, errNotXDB
	}
	x := &xdb{data: data, segment: xdbV4Segment, gazetteer: newGazetteer()}
	structure := u16(0)
	if structure != 2 && structure != 3 {
		return nil, fmt.Errorf("it is ip2region .xdb of structure version %d, or no geo file; known are 2 and 3", structure)
	}
	if len(data) < xdbTextsAt {
		return nil, fmt.Errorf("ip2region .xdb is cut short: %d bytes, and header and vector index have %d", len(data), xdbTextsAt)
	}
	if structure == 3 {
		switch u16(16) {
		case 4:
		case 6:
			x.v6, x.segment = true, xdbV6Segment
		default:
			return nil, fmt.Errorf("ip2region .xdb is for IP version %d, known are 4 and 6", u16(16))
		}
		if u16(18) != 4 {
			return nil, fmt.Errorf("ip2region .xdb has pointers of %d bytes, known are 4", u16(18))
		}
	}
	last := u32(12)
	x.start, x.end = u32(8), last+x.segment
	if x.start < xdbTextsAt || last < x.start || (last-x.start)%x.segment != 0 {
		return nil, fmt.Errorf("ip2region .xdb is damaged: segments cannot be from byte %d to %d", x.start, last)
	}
	if x.end > len(data) {
		return nil, fmt.Errorf("ip2region .xdb is cut short: %d bytes, and its segments end at %d", len(data), x.end)
	}
	x.seen = newSeen((x.end - x.start) / x.segment)
	err := x.learnFields(structure)
	return x, err
}

// learnFields looks at texts from all over the file. Five fields are of 2026 when the
// fifth is mostly a country code, and of old when it is mostly a provider. When there
// is no sign, because every fifth field is 0, the structure decides: its version is
// older than the fields that go with it.
func (x *xdb) learnFields(structure int) error {
	const samples = 4096
	count := (x.end - x.start) / x.segment
	step := max(1, count/samples)
	texts, codes, providers := 0, 0, 0
	for i := 0; i < count; i += step {
		text, _ := x.text(x.start + i*x.segment)
		if len(text) == 0 || !utf8.Valid(text) {
			continue
		}
		texts++
		switch field := fifth(string(text)); {
		case field == "" || field == "0":
		case isCountryCode(field):
			codes++
		default:
			providers++
		}
	}
	if texts == 0 {
		return errors.New("ip2region .xdb is damaged: no segment leads to a text")
	}
	if codes > providers || codes == providers && structure == 3 {
		x.fields = withoutArea
	}
	return nil
}

func fifth(text string) string {
	for range 4 {
		var ok bool
		if _, text, ok = strings.Cut(text, "|"); !ok {
			return ""
		}
	}
	field, _, _ := strings.Cut(text, "|")
	return field
}

func isCountryCode(s string) bool {
	return len(s) == 2 && 'A' <= s[0] && s[0] <= 'Z' && 'A' <= s[1] && s[1] <= 'Z'
}

func (x *xdb) lookup(ip netip.Addr) *Place {
	if ip.Is6() != x.v6 {
		return nil
	}
	at, ok := x.find(ip)
	if !ok {
		return nil
	}
	text, key := x.text(at)
	if len(text) == 0 {
		return nil
	}
	if p, ok := x.seen.get(key); ok {
		return p
	}
	return x.seen.put(key, x.place(string(text)))
}

// find gives the offset of the segment that holds an address.
func (x *xdb) find(ip netip.Addr) (at int, ok bool) {
	want := addressOf(ip)
	var prefix int
	if x.v6 {
		prefix = int(want.hi >> 48)
	} else {
		prefix = int(want.lo >> 16)
	}
	vector := x.data[xdbVectorAt+prefix*xdbVectorSize:][:xdbVectorSize]
	first := int(binary.LittleEndian.Uint32(vector))
	behind := int(binary.LittleEndian.Uint32(vector[4:]))
	if first < x.start || behind < first {
		return 0, false
	}
	// One more than the vector says: makers by others point at the last segment, as
	// the header does, and the searchers of ip2region allow for it.
	low, high := 0, (min(behind+x.segment, x.end)-first)/x.segment
	for low < high {
		mid := int(uint(low+high) >> 1)
		at = first + mid*x.segment
		from, to := x.span(at)
		switch {
		case want.less(from):
			high = mid
		case to.less(want):
			low = mid + 1
		default:
			return at, true
		}
	}
	return 0, false
}

// span gives the first and the last address of a segment.
func (x *xdb) span(at int) (from, to address) {
	if x.v6 {
		s := x.data[at:][:32]
		return address{binary.BigEndian.Uint64(s), binary.BigEndian.Uint64(s[8:])},
			address{binary.BigEndian.Uint64(s[16:]), binary.BigEndian.Uint64(s[24:])}
	}
	s := x.data[at:][:8]
	return address{lo: uint64(binary.LittleEndian.Uint32(s))}, address{lo: uint64(binary.LittleEndian.Uint32(s[4:]))}
}

// text gives what a segment points to, and the key under which its place is kept. It
// is empty when the segment points out of the file.
func (x *xdb) text(at int) (text []byte, key uint64) {
	tail := x.data[at+x.segment-6:][:6]
	size := int(binary.LittleEndian.Uint16(tail))
	start := int(binary.LittleEndian.Uint32(tail[2:]))
	if start < xdbTextsAt || start > len(x.data)-size {
		return nil, 0
	}
	return x.data[start : start+size], uint64(start)<<16 | uint64(size)
}

// place reads a text, as fieldOrder tells.
func (x *xdb) place(text string) *Place {
	var fields [5]string
	known := 0
	for known < len(fields) {
		field, rest, more := strings.Cut(text, "|")
		fields[known] = field
		known++
		if text = rest; !more {
			break
		}
	}
	province, city := fields[1], fields[2]
	if known == 5 && x.fields == withArea {
		province, city = fields[2], fields[3]
	}
	p := newPlace(fields[0], province, city)
	x.gazetteer.locate(p)
	return p
}

// address is an IP address as a number: two words, of which IPv4 uses the low one.
type address struct{ hi, lo uint64 }

func addressOf(ip netip.Addr) address {
	if ip.Is4() {
		b := ip.As4()
		return address{lo: uint64(binary.BigEndian.Uint32(b[:]))}
	}
	b := ip.As16()
	return address{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

func (a address) less(b address) bool {
	return a.hi < b.hi || a.hi == b.hi && a.lo < b.lo
}
