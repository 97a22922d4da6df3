package accept

import (
	"fmt"
	"strings"
	"testing"
)

func TestRanges(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]string{
		"text/html":                             "text/html 1000",
		"zh;q=0.1, en ; q=0.9,*;Q=0":            "zh 100|en 900|* 0",
		"a;level=1;q=0.25,b;q=2,c;q=-1,d;q=x,e": "a 250|b 0|c 0|d 0|e 1000",
		"f;q=NaN,g;q=":                          "f 0|g 1000",
	} {
		var got []string
		for name, weight := range Ranges(header) {
			got = append(got, fmt.Sprint(name, " ", weight))
		}
		if strings.Join(got, "|") != want {
			t.Errorf("%q gives %q, want %q", header, got, want)
		}
	}
	n := 0
	for range Ranges(strings.Repeat("a,", 10_000)) {
		n++
	}
	if n != rangesMax {
		t.Errorf("%d ranges of a long header were read", n)
	}
}
