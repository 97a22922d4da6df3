package geoip

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
)

type benchFile struct {
	db  *DB
	ips []netip.Addr
}

// benchFiles are files with 60,000 networks of 3,000 places, and 4,096 addresses in
// them, far apart.
func benchFiles(t testing.TB) map[string]benchFile {
	t.Helper()
	const networks, places = 60_000, 3_000
	var lines4, lines6 []xdbLine
	records := map[string]mmdbtype.DataType{}
	var ips4, ips6 []netip.Addr
	for i := range networks {
		// 150 networks in each /16, from 11.0.0.0 and 240e:: on
		high, low := 0x0B00+i/150, i%150
		city := fmt.Sprintf("城市%d", i%places)
		text := "中国|广东省|" + city + "|电信|CN"
		net4 := func(last byte) netip.Addr {
			return netip.AddrFrom4([4]byte{byte(high >> 8), byte(high), byte(low), last})
		}
		lines4 = append(lines4, xdbLine{net4(0).String(), net4(255).String(), text})
		var from6, to6 [16]byte
		binary.BigEndian.PutUint32(from6[:], uint32(0x2400+i/150)<<16|uint32(low))
		binary.BigEndian.PutUint32(to6[:], uint32(0x2400+i/150)<<16|uint32(low))
		for b := 4; b < 16; b++ {
			to6[b] = 0xff
		}
		lines6 = append(lines6, xdbLine{netip.AddrFrom16(from6).String(), netip.AddrFrom16(to6).String(), text})
		records[net4(0).String()+"/24"] = mmdbtype.Map{
			"country":      mmdbNames("China", "中国"),
			"subdivisions": mmdbtype.Slice{mmdbNames("Guangdong", "广东")},
			"city":         mmdbNames(city, city),
			"location":     mmdbtype.Map{"latitude": mmdbtype.Float64(22.55), "longitude": mmdbtype.Float64(114.07)},
		}
		if j := i * 7919 % networks; len(ips4) < 4096 && j%3 == 0 {
			ips4 = append(ips4, net4(byte(j)))
			to6[9] = byte(j)
			ips6 = append(ips6, netip.AddrFrom16(to6))
		}
	}
	return map[string]benchFile{
		"xdb4": {open(t, buildXDB(3, lines4)), ips4},
		"xdb6": {open(t, buildXDB(3, lines6)), ips6},
		"mmdb": {open(t, writeMMDB(t, mmdbwriter.Options{IncludeReservedNetworks: true}, records)), ips4},
	}
}

func BenchmarkLookup(b *testing.B) {
	for name, f := range benchFiles(b) {
		for i, ip := range f.ips {
			if f.db.Lookup(ip) == nil {
				b.Fatalf("%s: address %d, %s, is not known", name, i, ip)
			}
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				f.db.Lookup(f.ips[i&4095])
			}
		})
		b.Run(name+"/parallel", func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for i := 0; pb.Next(); i++ {
					f.db.Lookup(f.ips[i&4095])
				}
			})
		})
	}
}
