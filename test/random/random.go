// Package random says how often the tests of random histories run.
package random

import (
	"flag"
	"strconv"
	"testing"
)

// Run is the TestMain of a package in which a random history takes long: its tests try n each, unless
// -rapid.checks says how many (`make random` does).
func Run(m *testing.M, n int) {
	flag.Parse()
	said := false
	flag.Visit(func(f *flag.Flag) { said = said || f.Name == checks })
	if !said {
		if err := flag.Set(checks, strconv.Itoa(n)); err != nil {
			panic(err) // the package draws nothing at random
		}
	}
	m.Run()
}

const checks = "rapid.checks"
