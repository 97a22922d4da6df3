package trace

import "testing"

// TestOursOfAnything: whatever text a stranger writes where an EPC is due, finding whether it is an item
// of ours does not fail.
func TestOursOfAnything(t *testing.T) {
	t.Parallel()
	find := func(code string) (Item, bool, error) { return Item{}, code == "123456789012345678", nil }
	for text, want := range map[string]bool{
		"": false, "1": false, "/": false, "123456789012345678": false, "x123456789012345678": false,
		"/123456789012345678": true, "https://example.com/123456789012345678": true, "https://example.com/12345678901234567": false,
	} {
		if _, _, ok, err := ours(find, text, Canonical(text)); ok != want || err != nil {
			t.Errorf("%q: %v, %v; want %v", text, ok, err, want)
		}
	}
}
