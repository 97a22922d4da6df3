package geoip

import (
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
)

// found is Lookup as one line: country/province/city, and coordinates when known.
func found(db *DB, ip string) string {
	p := db.Lookup(netip.MustParseAddr(ip))
	if p == nil {
		return ""
	}
	line := p.Country + "/" + p.Province + "/" + p.City
	if p.Located {
		line += fmt.Sprintf(" %g,%g", p.Lat, p.Lon)
	}
	return line
}

func TestLookup(t *testing.T) {
	t.Parallel()
	const (
		fuzhou   = "中国/福建省/福州市 26.1,119.3"
		shenzhen = "中国/广东省/深圳市 23.1,113.3"
	)
	files := []struct {
		name string
		data []byte
		want map[string]string
	}{
		{"xdb 2", buildXDB(2, lines2()), map[string]string{
			"0.0.0.0": "//内网IP", "0.3.255.255": "//内网IP", "0.4.0.0": "", "127.0.0.1": "",
			"1.0.0.255": "", "1.0.1.0": fuzhou, "1.0.1.7": fuzhou, "1.0.1.255": fuzhou, "1.0.2.0": "", "1.0.2.255": "",
			"::ffff:1.0.1.0": fuzhou, "::ffff:1.0.2.0": "", "::1.0.1.0": "", "2001:db8::1": "",
			"1.0.3.0": "澳大利亚// -25,134", "1.0.4.0": "中国/上海/上海市 31.2,121.5", "1.0.4.1": "",
			"36.4.249.255": "", "36.4.250.0": "中国/内蒙古/ 40.8,111.7", "36.4.255.255": "中国/内蒙古/ 40.8,111.7",
			"36.5.0.0": "中国/内蒙古/ 40.8,111.7", "36.5.255.255": "中国/内蒙古/ 40.8,111.7", "36.6.0.0": "",
			"255.253.254.255": "", "255.253.255.0": "", "255.255.255.255": "",
		}},
		{"xdb 3", buildXDB(3, lines3()), map[string]string{
			"0.0.0.0": "Reserved/Reserved/Reserved", "1.0.0.255": "Australia/Queensland/ -25,134",
			"1.0.1.0": fuzhou, "1.0.3.255": fuzhou, "1.0.4.0": "", "113.91.255.255": "", "113.92.157.29": shenzhen,
			"113.93.0.0": "", "223.255.241.1": "中国/香港特别行政区/ 22.3,114.2", "223.255.244.0": "", "::1": "",
		}},
		{"xdb 3, four fields", buildXDB(3, []xdbLine{{"1.0.1.0", "1.0.3.255", "中国|福建省|福州市|电信"}}), map[string]string{
			"1.0.2.0": fuzhou,
		}},
		{"xdb 3, old fields", buildXDB(3, lines2()), map[string]string{"1.0.1.0": fuzhou}},
		{"xdb 2, new fields", buildXDB(2, lines3()), map[string]string{"1.0.1.0": fuzhou}},
		{"xdb 3, more fields", buildXDB(3, []xdbLine{{"1.0.1.0", "1.0.3.255", "中国|福建省|福州市|电信|CN|350000|x|y"}}), map[string]string{
			"1.0.2.0": fuzhou,
		}},
		{"xdb 3, no sign", buildXDB(3, []xdbLine{{"1.0.1.0", "1.0.3.255", "中国|福建省|福州市|电信|0"}}), map[string]string{"1.0.2.0": fuzhou}},
		{"xdb 2, no sign", buildXDB(2, []xdbLine{{"1.0.1.0", "1.0.3.255", "中国|0|福建省|福州市|0"}}), map[string]string{"1.0.2.0": fuzhou}},
		{"xdb 3, few fields", buildXDB(3, []xdbLine{
			{"1.0.1.0", "1.0.1.0", "Japan"}, {"1.0.1.1", "1.0.1.1", "中国|福建省"}, {"1.0.1.2", "1.0.1.2", "||"}, {"1.0.1.3", "1.0.1.3", " 0 | A\xff "},
		}), map[string]string{
			"1.0.1.0": "Japan// 36,138", "1.0.1.1": "中国/福建省/ 26.1,119.3", "1.0.1.2": "", "1.0.1.3": "/A\uFFFD/",
		}},
		{"xdb 3, IPv6", buildXDB(3, lines6()), map[string]string{
			"::": "", "::1": "", "1::": "Reserved/Reserved/Reserved", "9:ffff:ffff:ffff:ffff:ffff:ffff:ffff": "Reserved/Reserved/Reserved",
			"a::": "", "240e:3b6:ffff:ffff:ffff:ffff:ffff:ffff": "", "240e:3b7::": shenzhen, "240e:3b7:3272:d8d0:db09:c067:8d59:539e": shenzhen,
			"240e:3b7::1%eth0": shenzhen, "240e:3b8::8000:0:0:0": "中国/新疆维吾尔自治区/喀什地区 43.8,87.6", "240e:3b8::8000:0:0:ffff": "中国/新疆维吾尔自治区/喀什地区 43.8,87.6",
			"240e:3b8::8000:0:1:0": "", "240e:3b8::7fff:ffff:ffff:ffff": "", "2604:a840:3::a04d": "United States/California/San Jose 39,-98",
			"1.2.3.4": "", "::ffff:1.2.3.4": "", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff": "",
		}},
		{"mmdb 6", buildMMDB(t, mmdbwriter.Options{DatabaseType: "GeoLite2-City"}), map[string]string{
			"1.255.255.255": "", "2.0.0.0": "中国/广东/Shenzhen 22.55,114.07", "2.0.255.255": "中国/广东/Shenzhen 22.55,114.07", "2.1.0.0": "",
			"::ffff:2.0.1.1": "中国/广东/Shenzhen 22.55,114.07", "2.2.0.9": "日本// 36,138", "2.3.0.1": "", "2.4.0.1": "",
			"2.5.0.1": "Iceland//", "127.0.0.1": "", "2400::1": "",
		}},
		{"mmdb 4", buildMMDB(t, mmdbwriter.Options{IPVersion: 4, RecordSize: 24}), map[string]string{
			"2.0.0.0": "中国/广东/Shenzhen 22.55,114.07", "2400::1": "", "::ffff:2.0.0.1": "中国/广东/Shenzhen 22.55,114.07",
		}},
	}
	for _, f := range files {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			db := open(t, f.data)
			for range 2 { // the second time from what is kept
				for ip, want := range f.want {
					if got := found(db, ip); got != want {
						t.Errorf("Lookup(%s) = %q, want %q", ip, got, want)
					}
				}
			}
			if p := db.Lookup(netip.Addr{}); p != nil {
				t.Errorf("Lookup of no address = %v", p)
			}
		})
	}
}

// Makers by others point at the last segment of a vector, not behind it.
func TestVectorThatPointsAtItsLastSegment(t *testing.T) {
	t.Parallel()
	data := buildXDB(2, lines2())
	vector := data[xdbVectorAt+1<<8*xdbVectorSize:]
	behind := int(vector[4]) | int(vector[5])<<8 | int(vector[6])<<16
	behind -= xdbV4Segment
	vector[4], vector[5], vector[6] = byte(behind), byte(behind>>8), byte(behind>>16)
	if got := found(open(t, data), "1.0.4.0"); got != "中国/上海/上海市 31.2,121.5" {
		t.Errorf("Lookup of the last segment = %q", got)
	}
}

// A vector that points at what is not a segment leads nowhere, even when the bytes
// there would pass for one.
func TestVectorThatPointsOutside(t *testing.T) {
	t.Parallel()
	for _, first := range []uint32{1, 1 << 10, math.MaxUint32} {
		data := buildXDB(2, lines2())
		vector := data[xdbVectorAt+1<<8*xdbVectorSize:]
		segment := data[binary.LittleEndian.Uint32(vector):][:xdbV4Segment]
		copy(data[1<<10:], segment)
		binary.LittleEndian.PutUint32(vector, first)
		binary.LittleEndian.PutUint32(vector[4:], first) // so that the search looks at this one alone
		if got := found(open(t, data), "1.0.1.0"); got != "" {
			t.Errorf("Lookup through a vector to %d = %q", first, got)
		}
	}
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	edit := func(data []byte, at int, bytes ...byte) []byte {
		copy(data[at:], bytes)
		return data
	}
	x2 := func() []byte { return buildXDB(2, lines2()) }
	x3 := func() []byte { return buildXDB(3, lines6()) }
	city := buildMMDB(t, mmdbwriter.Options{})
	asn := writeMMDB(t, mmdbwriter.Options{DatabaseType: "GeoLite2-ASN"}, map[string]mmdbtype.DataType{
		"2.0.0.0/16": mmdbtype.Map{"autonomous_system_number": mmdbtype.Uint32(4134)},
	})
	noText := x2()
	for at := xdbTextsAt; at < len(noText); at++ {
		if at >= int(noText[8])|int(noText[9])<<8|int(noText[10])<<16 {
			noText[at] = 0xff
		}
	}
	files := []struct {
		name string
		data []byte
		want string
	}{
		{"text", []byte("1.0.1.0|1.0.1.255|中国|0|福建省|福州市|电信\n"), "neither ip2region .xdb nor MaxMind .mmdb"},
		{"one byte", []byte{2}, "neither"},
		{"gzip", []byte("\x1f\x8b\x08\x00\x00\x00"), "unpack it first"},
		{"zip", []byte("PK\x03\x04\x00\x00"), "unpack it first"},
		{"LFS pointer", []byte("version https://git-lfs.github.com/spec/v1\noid sha256:3a"), "git lfs pull"},
		{"header only", x2()[:256], "cut short: 256 bytes"},
		{"part of a header", x2()[:7], "cut short: 7 bytes"},
		{"no segments", x2()[:xdbTextsAt], "cut short"},
		{"last segment cut", x2()[:len(x2())-1], "cut short"},
		{"IPv6 cut", x3()[:len(x3())-1], "cut short"},
		{"structure 1", edit(x2(), 0, 1), "structure version 1"},
		{"structure 4", edit(x3(), 0, 4), "structure version 4"},
		{"IP version 5", edit(x3(), 16, 5), "IP version 5"},
		{"long pointers", edit(x3(), 18, 8), "pointers of 8 bytes"},
		{"segments in the header", edit(x2(), 8, 0, 0, 0, 0), "damaged"},
		{"segments end before they start", edit(x2(), 12, 1, 0, 0, 0), "damaged"},
		{"not a whole number of segments", edit(x2(), 12, x2()[12]+1), "damaged"},
		{"no texts", noText, "no segment leads to a text"},
		{"mmdb without its end", city[:len(city)-200], "was it downloaded whole?"},
		{"mmdb without its beginning", city[len(city)-300:], "damaged"},
		{"mmdb of providers", asn, `type "GeoLite2-ASN"`},
	}
	for _, f := range files {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			refused(t, writeFile(t, f.data), f.want)
		})
	}
	t.Run("paths", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		refused(t, dir, "is a directory")
		refused(t, filepath.Join(dir, "absent.xdb"), "no such file")
		refused(t, writeFile(t, nil), "is empty")
		pipe := filepath.Join(dir, "pipe")
		if err := syscall.Mkfifo(pipe, 0o600); err != nil {
			t.Fatal(err)
		}
		refused(t, pipe, "not a regular file")
	})
}

func refused(t *testing.T, path, want string) {
	t.Helper()
	db, err := Open(path)
	if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
		t.Errorf("Open = %v, %v; want an error with the path and %q", db, err, want)
	}
}

func TestString(t *testing.T) {
	t.Parallel()
	tests := []struct{ country, province, city, want string }{
		{"China", "Guangdong", "Shenzhen", "China Guangdong Shenzhen"},
		{"中国", "上海", "上海市", "中国 上海"},
		{"中国", "吉林省", "吉林市", "中国 吉林省 吉林市"},
		{"Singapore", "", "Singapore", "Singapore"},
		{"Luxembourg", "Clervaux", "Luxembourg", "Luxembourg Clervaux"},
		{"", "", "内网IP", "内网IP"},
		{"0", "Bavaria", "0", "Bavaria"},
	}
	for _, tt := range tests {
		p := newPlace(tt.country, tt.province, tt.city)
		byHand := &Place{Country: p.Country, Province: p.Province, City: p.City}
		if got := p.String(); got != tt.want || byHand.String() != got {
			t.Errorf("String = %q, by hand %q, want %q", got, byHand, tt.want)
		}
	}
	if got := (*Place)(nil).String(); got != "" {
		t.Errorf("String of nil = %q", got)
	}
}

func TestGazetteer(t *testing.T) {
	t.Parallel()
	if len(provinces) != 34 {
		t.Errorf("%d provinces, want 34", len(provinces))
	}
	g := newGazetteer()
	names := 0
	for _, p := range append(provinces[:], countries[:]...) {
		names += strings.Count(p.names, "|") + 1
		if !onEarth(p.lat, p.lon) {
			t.Errorf("%s lies at %g,%g", p.names, p.lat, p.lon)
		}
		for name := range strings.SplitSeq(p.names, "|") {
			if plain(name) != name {
				t.Errorf("name %q can never match: it is looked up as %q", name, plain(name))
			}
		}
	}
	if got := len(g.provinces) + len(g.countries); got != names {
		t.Errorf("%d names lead somewhere, and %d are listed: one is there twice", got, names)
	}
	for _, same := range [][]*Place{
		{newPlace("中国", "广西", ""), newPlace("China", "Guangxi Zhuang Autonomous Region", ""), newPlace("中国", "广西壮族自治区", "南宁市")},
		{newPlace("中国", "宁夏", ""), newPlace("China", "Ningxia Hui Autonomous Region", ""), newPlace("中国", "宁夏回族自治区", "")},
		{newPlace("中国", "新疆", ""), newPlace("China", "Xinjiang Uygur Zizhiqu", ""), newPlace("中国", "新疆维吾尔自治区", "")},
		{newPlace("中国", "内蒙古自治区", ""), newPlace("China", "Inner Mongolia Autonomous Region", ""), newPlace("中国", "内蒙古", "")},
		{newPlace("中国", "北京市", ""), newPlace("China", "Beijing Shi", ""), newPlace("中国", "北京", "北京")},
		{newPlace("中国", "广东省", ""), newPlace("CHINA", "Guangdong Province", ""), newPlace("中国", "广东", "")},
		{newPlace("中国", "台湾省", ""), newPlace("Taiwan", "Taipei City", "Taipei"), newPlace("台湾", "", "")},
		{newPlace("中国", "香港特别行政区", ""), newPlace("Hong Kong SAR China", "", ""), newPlace("Hong Kong", "Kowloon", "")},
		{newPlace("中国", "澳门", ""), newPlace("Macao", "", ""), newPlace("澳门", "", "")},
	} {
		for _, p := range same {
			g.locate(p)
			if diff := cmp.Diff(same[0], p, cmpopts.IgnoreUnexported(Place{}), cmpopts.IgnoreFields(Place{}, "Country", "Province", "City")); !p.Located || diff != "" {
				t.Errorf("%s and %s lie apart: %s", same[0], p, diff)
			}
		}
	}
	for _, p := range []*Place{newPlace("中国", "", ""), newPlace("China", "Nowhere", ""), newPlace("Atlantis", "Guangdong", ""), newPlace("", "市", "")} {
		if g.locate(p); p.Located {
			t.Errorf("%s has coordinates", p)
		}
	}
}

// A hundred goroutines look up while the file is closed under them; each answer is
// the right one or, after Close, none, and the same place is always the same pointer.
func TestConcurrentLookupAndClose(t *testing.T) {
	t.Parallel()
	for name, data := range map[string][]byte{"xdb": buildXDB(3, lines3()), "mmdb": buildMMDB(t, mmdbwriter.Options{})} {
		db := open(t, data)
		ips := []netip.Addr{netip.MustParseAddr("113.92.1.1"), netip.MustParseAddr("1.0.0.1"), netip.MustParseAddr("2.0.9.9"), netip.MustParseAddr("2.2.0.1")}
		var first sync.Map
		var group sync.WaitGroup
		for i := range 100 {
			group.Go(func() {
				for n := range 2000 {
					if i == 0 && n == 1900 {
						_ = db.Close()
					}
					ip := ips[(i+n)%len(ips)]
					p := db.Lookup(ip)
					if p == nil {
						continue
					}
					if was, _ := first.LoadOrStore(ip, p); was != p {
						t.Errorf("%s: %s is two places in memory", name, ip)
					}
					_ = p.String()
				}
			})
		}
		group.Wait()
		if p := db.Lookup(ips[0]); p != nil {
			t.Errorf("%s: Lookup after Close = %v", name, p)
		}
		if err := db.Close(); err != nil {
			t.Errorf("%s: second Close: %v", name, err)
		}
		first.Range(func(_, p any) bool {
			if p.(*Place).String() == "" {
				t.Errorf("%s: a place was lost with the file", name)
			}
			return true
		})
	}
	var none *DB
	if none.Lookup(netip.MustParseAddr("1.1.1.1")) != nil || none.Close() != nil || new(DB).Lookup(netip.MustParseAddr("1.1.1.1")) != nil {
		t.Error("no DB knows something")
	}
}

// The file may be removed or replaced by a rename while it is open.
func TestFileMayBeReplaced(t *testing.T) {
	t.Parallel()
	path := writeFile(t, buildXDB(3, lines3()))
	db, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(writeFile(t, buildXDB(2, lines2())), path); err != nil {
		t.Fatal(err)
	}
	if got := found(db, "113.92.1.1"); got != "中国/广东省/深圳市 23.1,113.3" {
		t.Errorf("Lookup in the old file = %q", got)
	}
}

func TestLookupAllocatesNothing(t *testing.T) {
	for name, b := range benchFiles(t) {
		i := 0
		for range b.ips {
			b.db.Lookup(b.ips[i])
			i++
		}
		i = 0
		if got := testing.AllocsPerRun(1000, func() {
			b.db.Lookup(b.ips[i%len(b.ips)])
			i++
		}); got != 0 {
			t.Errorf("%s: %g allocations for a place that was seen", name, got)
		}
	}
}
