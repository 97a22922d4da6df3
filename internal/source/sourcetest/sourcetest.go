// Package sourcetest holds every engine of sources to its contract.
package sourcetest

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/source"
)

// Start is when the suite begins.
func Start() time.Time { return time.Date(2026, 3, 1, 8, 30, 15, 123456000, time.UTC) }

// Request is a request of the suite.
func Request(n string) ids.Request {
	return ids.Request{Key: sha256.Sum256([]byte("key" + n)), Body: sha256.Sum256([]byte("body" + n))}
}

// RunStore runs the contract of source.Store. open gives an empty store.
func RunStore(t *testing.T, open func(t *testing.T) source.Store) {
	t.Run("Systems", func(t *testing.T) { systems(t, open(t)) })
	t.Run("Changes", func(t *testing.T) { changes(t, open(t)) })
	t.Run("RowsOnce", func(t *testing.T) { rowsOnce(t, open(t)) })
	t.Run("RowsAgainstAModel", func(t *testing.T) { rowsModel(t, open(t)) })
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// System is a system of a brand.
func System(n int, brand ids.BrandID) source.System {
	return source.System{
		ID: source.SystemID(ids.New("src")), Brand: brand, Kind: source.WMS, Name: fmt.Sprint("仓库 ", n), URL: fmt.Sprint("https://wms.example/", n),
		Token: []byte{0, 255, byte(n)}, Enabled: true, Version: 1, CreatedBy: "admin 管理员", CreatedAt: Start(),
	}
}

func byID(a, b source.System) int { return cmp.Compare(a.ID, b.ID) }

func systems(t *testing.T, s source.Store) {
	first, replayed, err := s.AddSystem(t.Context(), Request("0"), System(0, 1))
	if must(t, err); replayed {
		t.Error("the first is a repeat")
	}
	again, replayed, err := s.AddSystem(t.Context(), Request("0"), System(0, 1))
	if must(t, err); !replayed || !gocmp.Equal(first, again) {
		t.Errorf("the same request again, %v:\n%s", replayed, gocmp.Diff(first, again))
	}
	want := []source.System{first}
	for n := 1; n < source.SystemsMax; n++ {
		sys := System(n, 1)
		if n == 5 {
			sys.Token = nil
		}
		_, _, err := s.AddSystem(t.Context(), ids.Request{}, sys)
		must(t, err)
		want = append(want, sys)
	}
	if _, _, err := s.AddSystem(t.Context(), ids.Request{}, System(99, 1)); !errors.Is(err, source.ErrTooMany) {
		t.Errorf("one too many: %v", err)
	}
	other, everybody := System(50, 17), System(51, 0)
	for _, sys := range []source.System{other, everybody} {
		_, _, err := s.AddSystem(t.Context(), ids.Request{}, sys)
		must(t, err)
	}
	slices.SortFunc(want, byID)
	var got []source.System
	for after := source.SystemID(""); ; after = got[len(got)-1].ID {
		page, err := s.Systems(t.Context(), 1, after, 7)
		must(t, err)
		if got = append(got, page...); len(page) < 7 {
			break
		}
	}
	if !gocmp.Equal(want, got) {
		t.Errorf("systems of brand 1:\n%s", gocmp.Diff(want, got))
	}
	all, err := s.Systems(t.Context(), 0, "", 1000)
	if must(t, err); len(all) != len(want)+2 {
		t.Errorf("%d systems of all, want %d", len(all), len(want)+2)
	}
	asked(t, s, 17, other, everybody)
	asked(t, s, 33, everybody)
	for range 2 {
		must(t, s.RemoveSystem(t.Context(), other.ID))
	}
	asked(t, s, 17, everybody)
	if gone, err := s.System(t.Context(), other.ID); err != nil || !gone.Removed || gone.Token != nil {
		t.Errorf("a removed system is %+v, %v: it must be known, without its token", gone, err)
	}
	if page, err := s.Systems(t.Context(), 17, "", 10); err != nil || len(page) != 0 {
		t.Errorf("a removed system is listed: %v %v", page, err)
	}
	if _, err := s.System(t.Context(), "src_x"); !errors.Is(err, source.ErrUnknown) {
		t.Errorf("one that never was: %v", err)
	}
}

func asked(t *testing.T, s source.Store, brand ids.BrandID, want ...source.System) {
	t.Helper()
	got, err := s.Asked(t.Context(), brand)
	must(t, err)
	slices.SortFunc(want, byID)
	if !gocmp.Equal(want, got) {
		t.Errorf("asked about brand %d:\n%s", brand, gocmp.Diff(want, got))
	}
}

func changes(t *testing.T, s source.Store) {
	sys, _, err := s.AddSystem(t.Context(), ids.Request{}, System(0, 1))
	must(t, err)
	sys.Name, sys.URL, sys.Token, sys.Enabled, sys.Version = "other", "https://other.example/", nil, false, 2
	for n, want := range []bool{false, true} {
		replayed, err := s.ChangeSystem(t.Context(), Request("c"), sys)
		if must(t, err); replayed != want {
			t.Errorf("time %d: replayed is %v", n, replayed)
		}
	}
	got, err := s.System(t.Context(), sys.ID)
	if must(t, err); !gocmp.Equal(sys, got) {
		t.Errorf("after the change:\n%s", gocmp.Diff(sys, got))
	}
	asked(t, s, 1)
	stale := sys
	stale.Name = "lost"
	if _, err := s.ChangeSystem(t.Context(), Request("d"), stale); !errors.Is(err, source.ErrChanged) {
		t.Errorf("a change of an old version: %v", err)
	}
	must(t, s.RemoveSystem(t.Context(), sys.ID))
	sys.Version = 3
	if _, err := s.ChangeSystem(t.Context(), Request("e"), sys); !errors.Is(err, source.ErrChanged) {
		t.Errorf("a change of a removed system: %v", err)
	}
}

// Row is a row of a code.
func Row(n int, code string) source.Row {
	return source.Row{
		Code: code, Stage: "logistics", Source: source.WMS, Time: Start().Add(time.Duration(n) * time.Minute), Location: "上海仓",
		Details: map[string]any{"carrier": "顺丰 <&> \"x\"", "temperature": "15-25°C", "weight": 1.5, "sealed": true, "n": float64(n)},
	}
}

func rowsOnce(t *testing.T, s source.Store) {
	push := source.Push{ID: "psh_1", Brand: 1, Rows: []source.Row{Row(1, "123456789012345678"), Row(2, "123456789012345678")}, CreatedBy: "a", CreatedAt: Start()}
	for n, want := range []bool{false, true} {
		again := push
		again.ID = fmt.Sprint("psh_", n+1)
		id, replayed, err := s.AddRows(t.Context(), Request("p"), again)
		if must(t, err); id != "psh_1" || replayed != want {
			t.Errorf("time %d: %s, replayed is %v", n, id, replayed)
		}
	}
	got, err := s.Rows(t.Context(), source.Ask{Code: "123456789012345678", Brand: 1, BatchNo: "B", Product: 2}, 10)
	must(t, err)
	if want := []source.Row{push.Rows[1], push.Rows[0]}; !gocmp.Equal(want, got) {
		t.Errorf("rows:\n%s", gocmp.Diff(want, got))
	}
	if got, err := s.Rows(t.Context(), source.Ask{Code: "123456789012345678", Brand: 1}, 1); err != nil || len(got) != 1 || !got[0].Time.Equal(push.Rows[1].Time) {
		t.Errorf("the newest: %v %v", got, err)
	}
	long := Row(1, "")
	long.BatchNo, long.Location, long.Details = strings.Repeat("批", 21), strings.Repeat("<", source.TextMax), map[string]any{}
	for n := range source.DetailsMax {
		long.Details[fmt.Sprint("key", n)] = strings.Repeat("&", source.TextMax)
	}
	_, _, err = s.AddRows(t.Context(), ids.Request{}, source.Push{ID: "psh_3", Brand: 1, Rows: []source.Row{long}, CreatedAt: Start()})
	must(t, err)
	got, err = s.Rows(t.Context(), source.Ask{Code: "999999999999999999", Brand: 1, BatchNo: long.BatchNo}, 10)
	if must(t, err); !gocmp.Equal([]source.Row{long}, got) {
		t.Errorf("the longest row:\n%s", gocmp.Diff([]source.Row{long}, got))
	}
}

// rowsModel pushes anything and asks for anything, beside a list that is searched by hand:
// whatever was pushed of another brand, product, batch or code is not given.
func rowsModel(t *testing.T, s source.Store) {
	type kept struct {
		brand ids.BrandID
		source.Row
	}
	var model []kept
	run := 0
	rapid.Check(t, func(t *rapid.T) {
		run++
		brands := rapid.SampledFrom([]ids.BrandID{1, 2, 17, 18})
		codes := rapid.SampledFrom([]string{"", fmt.Sprintf("%018d", 2*run), fmt.Sprintf("%018d", 2*run+1)})
		batches := rapid.SampledFrom([]string{fmt.Sprint("lot ", run), fmt.Sprint("LOT ", run), fmt.Sprint("lot ", run, " ")})
		products := rapid.SampledFrom([]ids.ProductID{0, 1, 2})
		for range rapid.IntRange(1, 8).Draw(t, "pushes") {
			p := source.Push{ID: ids.New("psh"), Brand: brands.Draw(t, "brand"), CreatedAt: Start()}
			for range rapid.IntRange(1, 3).Draw(t, "rows") {
				r := Row(len(model), codes.Draw(t, "code"))
				if r.Code == "" {
					r.BatchNo, r.Product = batches.Draw(t, "batch"), products.Draw(t, "product")
				}
				p.Rows, model = append(p.Rows, r), append(model, kept{p.Brand, r})
			}
			if _, _, err := s.AddRows(t.Context(), ids.Request{}, p); err != nil {
				t.Fatal(err)
			}
			q := source.Ask{Code: codes.Draw(t, "asked code"), Brand: brands.Draw(t, "asked brand"), BatchNo: batches.Draw(t, "asked batch"), Product: products.Draw(t, "asked product")}
			if q.Code == "" {
				q.Code = "000000000000000000"
			}
			var want []source.Row
			for _, k := range slices.Backward(model) {
				of := k.Code == q.Code
				if k.Code == "" {
					of = k.BatchNo == q.BatchNo && (k.Product == 0 || k.Product == q.Product)
				}
				if of && k.brand == q.Brand {
					want = append(want, k.Row)
				}
			}
			got, err := s.Rows(t.Context(), q, 1000)
			if err != nil || !gocmp.Equal(want, got) {
				t.Fatalf("%+v: %v\n%s", q, err, gocmp.Diff(want, got))
			}
		}
	})
}
