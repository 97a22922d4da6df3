package geoip

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
)

// xdbLine is a line of ip2region's source text: first address, last address, text.
type xdbLine struct{ from, to, text string }

// buildXDB writes an .xdb file as the description in xdb.go says, from lines in order.
func buildXDB(structure int, lines []xdbLine) []byte {
	v6 := netip.MustParseAddr(lines[0].from).Is6()
	file := make([]byte, xdbTextsAt)
	binary.LittleEndian.PutUint16(file, uint16(structure))
	binary.LittleEndian.PutUint16(file[2:], 1)
	binary.LittleEndian.PutUint32(file[4:], 1_767_225_600)
	if structure >= 3 {
		version := 4
		if v6 {
			version = 6
		}
		binary.LittleEndian.PutUint16(file[16:], uint16(version))
		binary.LittleEndian.PutUint16(file[18:], 4)
	}
	texts := map[string]int{}
	for _, l := range lines {
		if _, ok := texts[l.text]; !ok {
			texts[l.text] = len(file)
			file = append(file, l.text...) //nolint:makezero // behind the header and the vector index
		}
	}
	start, last := len(file), 0
	for _, l := range lines {
		for _, cut := range cutAt16(netip.MustParseAddr(l.from), netip.MustParseAddr(l.to)) {
			last = len(file)
			file = appendAddr(appendAddr(file, cut[0]), cut[1])
			file = binary.LittleEndian.AppendUint16(file, uint16(len(l.text)))
			file = binary.LittleEndian.AppendUint32(file, uint32(texts[l.text]))
			b := cut[0].AsSlice()
			vector := file[xdbVectorAt+(int(b[0])<<8|int(b[1]))*xdbVectorSize:][:xdbVectorSize]
			if binary.LittleEndian.Uint32(vector) == 0 {
				binary.LittleEndian.PutUint32(vector, uint32(last))
			}
			binary.LittleEndian.PutUint32(vector[4:], uint32(len(file)))
		}
	}
	binary.LittleEndian.PutUint32(file[8:], uint32(start))
	binary.LittleEndian.PutUint32(file[12:], uint32(last))
	return file
}

// cutAt16 cuts a range where the first two bytes change.
func cutAt16(from, to netip.Addr) [][2]netip.Addr {
	var cuts [][2]netip.Addr
	for {
		b := from.AsSlice()
		for i := 2; i < len(b); i++ {
			b[i] = 0xff
		}
		end, _ := netip.AddrFromSlice(b)
		if !end.Less(to) {
			return append(cuts, [2]netip.Addr{from, to})
		}
		cuts = append(cuts, [2]netip.Addr{from, end})
		from = end.Next()
	}
}

func appendAddr(file []byte, ip netip.Addr) []byte {
	if ip.Is4() {
		b := ip.As4()
		return binary.LittleEndian.AppendUint32(file, binary.BigEndian.Uint32(b[:]))
	}
	b := ip.As16()
	return append(file, b[:]...)
}

// lines2 is a file of 2022, with gaps around 1.0.1.0/24 and after 36.5.255.255.
func lines2() []xdbLine {
	return []xdbLine{
		{"0.0.0.0", "0.3.255.255", "0|0|0|内网IP|内网IP"},
		{"1.0.1.0", "1.0.1.255", "中国|0|福建省|福州市|电信"},
		{"1.0.3.0", "1.0.3.255", "澳大利亚|0|0|0|0"},
		{"1.0.4.0", "1.0.4.0", "中国|华东|上海|上海市|联通"},
		{"36.4.250.0", "36.5.255.255", "中国|0|内蒙古|0|移动"},
		{"255.253.255.0", "255.255.255.255", "0|0|0|0|0"},
	}
}

// lines3 is a file of 2026.
func lines3() []xdbLine {
	return []xdbLine{
		{"0.0.0.0", "0.3.255.255", "Reserved|Reserved|Reserved|0|0"},
		{"1.0.0.0", "1.0.0.255", "Australia|Queensland|0|0|AU"},
		{"1.0.1.0", "1.0.3.255", "中国|福建省|福州市|电信|CN"},
		{"113.92.0.0", "113.92.255.255", "中国|广东省|深圳市|电信|CN"},
		{"223.255.240.0", "223.255.243.255", "中国|香港特别行政区|0|0|CN"},
	}
}

func lines6() []xdbLine {
	return []xdbLine{
		{"1::", "9:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "Reserved|Reserved|Reserved|0|0"},
		{"240e:3b7::", "240e:3b7:ffff:ffff:ffff:ffff:ffff:ffff", "中国|广东省|深圳市|电信|CN"},
		{"240e:3b8::8000:0:0:0", "240e:3b8::8000:0:0:ffff", "中国|新疆维吾尔自治区|喀什地区|电信|CN"},
		{"2604:a840:3::", "2604:a840:3:ffff:ffff:ffff:ffff:ffff", "United States|California|San Jose|xTom|US"},
	}
}

// mmdbNames is the form of MaxMind: a name for each language.
func mmdbNames(en, zh string) mmdbtype.Map {
	names := mmdbtype.Map{"en": mmdbtype.String(en)}
	if zh != "" {
		names["zh-CN"] = mmdbtype.String(zh)
	}
	return mmdbtype.Map{"names": names}
}

// buildMMDB writes a .mmdb file with a City record, a Country record, one without a
// name and one of another form.
func buildMMDB(t testing.TB, o mmdbwriter.Options) []byte {
	t.Helper()
	return writeMMDB(t, o, map[string]mmdbtype.DataType{
		"2.0.0.0/16": mmdbtype.Map{
			"country":      mmdbNames("China", "中国"),
			"subdivisions": mmdbtype.Slice{mmdbNames("Guangdong", "广东"), mmdbNames("Second", "")},
			"city":         mmdbNames("Shenzhen", ""),
			"location":     mmdbtype.Map{"latitude": mmdbtype.Float64(22.55), "longitude": mmdbtype.Float64(114.07)},
		},
		"2.2.0.0/24": mmdbtype.Map{"country": mmdbNames("Japan", "日本")},
		"2.3.0.0/24": mmdbtype.Map{"traits": mmdbtype.Map{"is_anycast": mmdbtype.Bool(true)}},
		"2.4.0.0/24": mmdbtype.Map{"country": mmdbtype.String("CN")},
		"2.5.0.0/24": mmdbtype.Map{
			"country":  mmdbNames("Iceland", ""),
			"location": mmdbtype.Map{"latitude": mmdbtype.Float64(91), "longitude": mmdbtype.Float64(0)},
		},
	})
}

func writeMMDB(t testing.TB, o mmdbwriter.Options, records map[string]mmdbtype.DataType) []byte {
	t.Helper()
	tree, err := mmdbwriter.New(o)
	if err != nil {
		t.Fatal(err)
	}
	for network, record := range records {
		_, block, err := net.ParseCIDR(network)
		if err != nil {
			t.Fatal(err)
		}
		if err := tree.Insert(block, record); err != nil {
			t.Fatal(err)
		}
	}
	var file bytes.Buffer
	if _, err := tree.WriteTo(&file); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

// writeFile gives the path of a new file. Its name says nothing about its format.
func writeFile(t testing.TB, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "places.bin")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t testing.TB, data []byte) *DB {
	t.Helper()
	db, err := Open(writeFile(t, data))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}
