package resolve

import (
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
)

// TestIndexIsTheNewest: whatever came in whatever order of sets, deletions, policies and
// repetitions, the index answers as one that was given only the newest of each.
func TestIndexIsTheNewest(t *testing.T) {
	t.Parallel()
	anchors := []string{rice, rice + "/10/L1", rice + "/21/S", "prefix:9506000", "prefix:9506", "batch:bat_1:1-10", "batch:bat_1:3-7", "/8004/9506000A"}
	questions := []string{rice, rice + "/10/L1", rice + "/10/L1/21/S", rice + "/21/" + genuine, "/8004/9506000A", "/8004/9506A", "/01/04006381333931"}
	rapid.Check(t, func(t *rapid.T) {
		grown, newest := NewIndex(), map[string]Record{}
		var all []Record
		for v := range int64(rapid.IntRange(1, 25).Draw(t, "records")) {
			r := Record{BrandID: ids.BrandID(rapid.IntRange(1, 2).Draw(t, "brand")), Version: v + 1}
			if rapid.IntRange(0, 3).Draw(t, "kind") == 0 {
				r.Name = policyName(r.BrandID)
				r.Body = []byte(rapid.SampledFrom([]string{`{"schemes":["https"],"hosts":["a.example"]}`, `{"schemes":["https"],"hosts":["a.example","b.example"]}`, `{}`}).Draw(t, "policy"))
			} else {
				r.Name = rapid.SampledFrom(anchors).Draw(t, "anchor")
				if old, ok := newest[r.Name]; ok && len(old.Body) > 0 {
					r.BrandID = old.BrandID // the store refuses another
				}
				if host := rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "host"); host != "" {
					r.Body = []byte(`[{"link_type":"gs1:pip","href":"https://` + host + `.example/` + strconv.Itoa(int(v)) + `","title":"x"}]`)
				}
			}
			newest[r.Name] = r
			all = append(all, r)
			from := rapid.IntRange(0, len(all)-1).Draw(t, "told again from")
			for _, some := range [][]Record{all[from:], all[from : from+1]} { // the second comes late
				if err := grown.Apply(some); err != nil {
					t.Fatal(err)
				}
			}
		}
		var last []Record
		for _, r := range all {
			if newest[r.Name].Version == r.Version {
				last = append(last, r)
			}
		}
		fresh := NewIndex()
		if err := fresh.Apply(last); err != nil {
			t.Fatal(err)
		}
		for _, q := range questions {
			id, err := gs1.ParsePath(q)
			if err != nil {
				t.Fatal(err)
			}
			for _, item := range []*Item{nil, {Batch: "bat_1", No: 5}, {Batch: "bat_1", No: 9}} {
				if diff := cmp.Diff(hrefs(fresh.found(&id, item, nil)), hrefs(grown.found(&id, item, nil))); diff != "" {
					t.Fatalf("%s of %+v (-fresh +grown):\n%s", q, item, diff)
				}
			}
		}
	})
}

func hrefs(levels []level) (all []string) {
	for _, l := range levels {
		for _, some := range l.links {
			for i := range some {
				all = append(all, l.id.Path()+" "+some[i].Href)
			}
		}
	}
	return all
}
