package geoip

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/maxmind/mmdbwriter"
)

// damageable are whole files, and for each the bytes that matter: flipping the half
// megabyte of an empty vector index would prove little.
func damageable(t testing.TB) []struct {
	data    []byte
	matters []int
} {
	t.Helper()
	files := []struct {
		data    []byte
		matters []int
	}{
		{data: buildXDB(2, lines2())},
		{data: buildXDB(3, lines3())},
		{data: buildXDB(3, lines6())},
		{data: buildMMDB(t, mmdbwriter.Options{})},
		{data: buildMMDB(t, mmdbwriter.Options{IPVersion: 4, RecordSize: 32})},
	}
	for i, f := range files {
		for at, b := range f.data {
			if len(f.data) < xdbTextsAt || at < 20 || at >= xdbTextsAt || b != 0 {
				files[i].matters = append(files[i].matters, at)
			}
		}
	}
	return files
}

// FuzzDamagedFile changes bytes of a good file, five bytes of input for each: a place
// and what to put there. A first byte of 128 or more cuts the file there instead.
// Whatever comes out, Open and Lookup end, and answers are whole.
func FuzzDamagedFile(f *testing.F) {
	files := damageable(f)
	var ips []netip.Addr
	for _, ip := range []string{
		"0.0.0.0", "1.0.0.255", "1.0.1.0", "1.0.3.9", "1.0.4.0", "2.0.0.1", "2.2.0.1", "36.5.0.0", "113.92.1.1", "223.255.255.255", "255.255.255.255",
		"::", "1::", "240e:3b7::1", "240e:3b8::8000:0:0:1", "2604:a840:3::1", "2002:200::1", "ffff::",
	} {
		ips = append(ips, netip.MustParseAddr(ip))
	}
	random := rand.New(rand.NewPCG(1, 2))
	for format := range files {
		f.Add(uint8(format), []byte{})
		for range 400 {
			edits := make([]byte, 5*(1+random.IntN(4)))
			for i := range edits {
				edits[i] = byte(random.Uint32())
			}
			for i := 0; i < len(edits); i += 5 {
				if random.IntN(8) > 0 {
					edits[i] &= 0x7f // cut seldom
				}
			}
			f.Add(uint8(format), edits)
		}
		for at := range 20 { // each byte of the header
			f.Add(uint8(format), []byte{0, 0, 0, byte(at), 0xff})
		}
	}
	f.Fuzz(func(t *testing.T, format uint8, edits []byte) {
		file := files[int(format)%len(files)]
		data := append([]byte(nil), file.data...)
		for ; len(edits) >= 5; edits = edits[5:] {
			at := file.matters[int(binary.BigEndian.Uint32(edits)&0x7fffffff)%len(file.matters)]
			switch {
			case at >= len(data):
			case edits[0] >= 0x80:
				data = data[:at]
			default:
				data[at] = edits[4]
			}
		}
		r, err := newReader(data)
		if err != nil {
			return
		}
		for _, ip := range ips {
			if p := r.lookup(ip); p != nil && p.String() == "" {
				t.Errorf("Lookup(%s) = %+v, a place without a name", ip, p)
			}
			if p, again := r.lookup(ip), r.lookup(ip); p != again {
				t.Errorf("Lookup(%s) = %v, then %v", ip, p, again)
			}
		}
	})
}

// Every single byte that matters, set to a few values.
func TestEveryByteDamaged(t *testing.T) {
	t.Parallel()
	ip4, ip6 := netip.MustParseAddr("1.0.1.9"), netip.MustParseAddr("240e:3b7::1")
	for _, file := range damageable(t) {
		for _, at := range file.matters {
			was := file.data[at]
			for _, value := range []byte{0, 1, 0x7f, 0x80, 0xff, was ^ 1} {
				file.data[at] = value
				if r, err := newReader(file.data); err == nil {
					r.lookup(ip4)
					r.lookup(ip6)
				}
			}
			file.data[at] = was
		}
	}
}

// Every length of the file, at and around the parts that matter.
func TestEveryLength(t *testing.T) {
	t.Parallel()
	for _, file := range damageable(t) {
		for _, at := range file.matters {
			if r, err := newReader(file.data[:at]); err == nil && r.lookup(netip.MustParseAddr("1.0.1.9")) != nil {
				t.Errorf("%d of %d bytes were taken for the whole file", at, len(file.data))
			}
		}
	}
}
