package batch

import (
	"strings"
	"testing"
)

func TestCompanyPrefixes(t *testing.T) {
	t.Parallel()
	for text, ok := range map[string]bool{
		"": true, "4012345": true, "401234": true, "401234567890": true, "4012345 0614141": true,
		"40123": false, "4012345678901": false, "40123x5": false, "４012345": false, "4012345 4012345": false, "401234567 0614141 4012345": false,
	} {
		if err := checkPrefixes(strings.Fields(text)); (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
	}
	if checkPrefixes(make([]string, prefixesMax+1)) == nil {
		t.Error("too many are taken")
	}
}
