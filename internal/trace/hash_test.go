package trace

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func vector(t *testing.T, name string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", "hash", name))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(string(raw), "\n")
}

func prehash(c *Codec, e *Event) []byte {
	return c.appendPrehash(nil, e, canonicals(e.EPCs), canonicals(e.Outputs))
}

// eventsOf reads a document of which every event must be good.
func eventsOf(t testing.TB, d *Document, err error) (out []*Event) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	for i := range d.Events {
		if p := d.Events[i].Problems; len(p) > 0 {
			t.Fatalf("event %d: %v", i, p)
		}
		out = append(out, d.Events[i].Event)
	}
	return out
}

// TestPublishedHashes holds the hash to the reference's worked examples.
func TestPublishedHashes(t *testing.T) {
	t.Parallel()
	c := NewCodec(UsualLimits())
	for _, name := range []string{"1", "2", "3"} {
		want := vector(t, name+".hash")
		d, err := c.ReadJSON(vector(t, name+".jsonld"))
		e := eventsOf(t, d, err)[0]
		if got := c.Hash(e).String(); got != want {
			t.Errorf("%s as JSON: %s, want %s\n%s", name, got, want, prehash(c, e))
		}
		d, err = c.ReadXML(vector(t, name+".xml"))
		e = eventsOf(t, d, err)[0]
		if got := c.Hash(e).String(); got != want {
			t.Errorf("%s as XML: %s, want %s\n%s", name, got, want, prehash(c, e))
		}
	}
	// every field that an object event can have, with extensions wherever they may stand
	d, err := c.ReadJSON(string(examples(t)[filepath.Join("WithFullCombinationOfFields", "object_event_all_possible_fields.jsonld")]))
	e := eventsOf(t, d, err)[0]
	const want = "ni:///sha-256;9811bfb2672e9c3a0f6151be339d22b60db375c8b23d2740f6137cc6539f0639?ver=CBV2.0"
	if got := c.Hash(e).String(); got != want {
		t.Errorf("all fields: %s\n%s", got, prehash(c, e))
	}
}

func TestPublishedTexts(t *testing.T) {
	t.Parallel()
	c := NewCodec(UsualLimits())
	for _, name := range []string{"times", "keys"} {
		d, err := c.ReadJSON(vector(t, name+".jsonld"))
		var got []string
		for _, e := range eventsOf(t, d, err) {
			got = append(got, string(prehash(c, e)))
		}
		if diff := cmp.Diff(strings.Split(vector(t, name+".prehash"), "\n"), got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestHashNames(t *testing.T) {
	t.Parallel()
	h := Hash{1, 31: 255}
	if got, ok := ParseHash(h.String()); !ok || got != h {
		t.Errorf("%s reads as %v, %v", h, got, ok)
	}
	for _, bad := range []string{"", "ni:///sha-256;00?ver=CBV2.0", h.String()[1:], h.String() + "x", strings.Replace(h.String(), "01", "0g", 1)} {
		if _, ok := ParseHash(bad); ok {
			t.Errorf("%q is no hash", bad)
		}
	}
}
