// Package tracetest holds the suite that every store of EPCIS events must pass, and fakes
// of what the domain wants of others.
package tracetest

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/trace"
)

// Items are coded items: 1,000,000 serials of the brand's shard for each brand from 1 on,
// whose codes are their serials, turned round.
type Items struct{}

// GTIN is that of every item.
const GTIN gs1.GTIN = "04012345111118"

const perBrand = 1_000_000

var _ trace.Items = Items{}

// Finder implements trace.Items.
func (Items) Finder() trace.Finder { return find }

func find(code string) (trace.Item, bool, error) {
	n, err := strconv.ParseUint(turned(code), 10, 64)
	serial := ids.Serial(n)
	brand := ids.BrandID(serial.N() / perBrand)
	if err != nil || brand < 1 || brand > 9 || serial != Serial(brand, int(serial.N()%perBrand)) {
		return trace.Item{}, false, nil //nolint:nilerr // what is no number is no code
	}
	return trace.Item{Serial: serial, Brand: brand, GTIN: GTIN}, true, nil
}

// Code implements trace.Items.
func (Items) Code(s ids.Serial) string { return turned(fmt.Sprintf("%018d", s)) }

// PrefixedBrand has said that 0614141 is a company prefix of its own.
const PrefixedBrand = 9

// Prefixes implements trace.Items.
func (Items) Prefixes(brand ids.BrandID) []string {
	if brand == PrefixedBrand {
		return []string{"0614141"}
	}
	return nil
}

func turned(s string) string {
	var b strings.Builder
	for i := range len(s) {
		b.WriteByte(s[len(s)-1-i])
	}
	return b.String()
}

// EPC names an item of a brand: its n-th, as a Digital Link.
func EPC(brand ids.BrandID, n int) string {
	return "https://id.gs1.org/01/" + GTIN.String() + "/21/" + Items{}.Code(Serial(brand, n))
}

// URN names it as a URN.
func URN(brand ids.BrandID, n int) string {
	return "urn:epc:id:sgtin:4012345.011111." + Items{}.Code(Serial(brand, n))
}

// Serial is the serial of a brand's n-th item.
func Serial(brand ids.BrandID, n int) ids.Serial {
	s, err := ids.NewSerial(0, ids.ShardOf(brand), int64(brand)*perBrand+int64(n))
	if err != nil {
		panic(err) // cannot be: a shard has room for a million brands
	}
	return s
}
