package batchtest

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
)

// TestCatalog holds the store to batch.Catalog.
func TestCatalog(t *testing.T, open Open) {
	t.Run("ProductsKeepEveryField", func(t *testing.T) {
		w := newWorld(t, open)
		want := batch.Product{
			BrandID: w.brand.ID, Name: "龙井 Dragon well", GTIN: "09506000134352", Description: "first\nflush", Help: "tel 110",
			Pool: batch.Pool{
				Target: 1 << 40, BatchQuantity: 5000, ExpireHours: 48, RotateEvery: 90 * time.Minute,
				Mark: batch.Display, InnerCode: true, Signed: true,
			},
			CreatedAt: Start(),
		}
		got, _, err := w.CreateProduct(t.Context(), ids.Request{}, want)
		w.must(err)
		want.ID = got.ID
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("created (-want +got):\n%s", diff)
		}
		read, err := w.Product(t.Context(), got.ID)
		w.must(err)
		if diff := cmp.Diff(want, read); diff != "" {
			t.Errorf("read back (-want +got):\n%s", diff)
		}
	})
	t.Run("BrandsKeepEveryField", func(t *testing.T) {
		w := newWorld(t, open)
		read, err := w.Brand(t.Context(), w.brand.ID)
		w.must(err)
		if diff := cmp.Diff(batch.Brand{ID: w.brand.ID, Name: "Tea house", CreatedAt: Start()}, read); diff != "" {
			t.Errorf("read back (-want +got):\n%s", diff)
		}
	})
	t.Run("UnknownIsSaid", func(t *testing.T) {
		w := newWorld(t, open)
		_, err := w.Brand(t.Context(), w.brand.ID+1)
		wantFault(t, err, batch.ErrUnknownBrand)
		_, err = w.Product(t.Context(), w.product.ID+1)
		wantFault(t, err, batch.ErrUnknownProduct)
	})
	t.Run("TextsChangeAndTheRestStays", func(t *testing.T) { textsChange(t, open) })
	t.Run("SettingsChangeAndTheFeedTells", func(t *testing.T) { settingsChange(t, open) })
	t.Run("GTINNamesBrand", func(t *testing.T) { gtinNamesBrand(t, open) })
	t.Run("ListsPageById", func(t *testing.T) { listsPageByID(t, open) })
	t.Run("LogosAreRemovedWhenNothingNamesThem", func(t *testing.T) { logos(t, open) })
}

func textsChange(t *testing.T, open Open) {
	w := newWorld(t, open)
	p, _, err := w.CreateProduct(t.Context(), ids.Request{}, batch.Product{
		BrandID: w.brand.ID, Name: "a", GTIN: "09506000134352", Description: "b", Help: "c",
		Pool: batch.Pool{Target: 5, BatchQuantity: 5}, CreatedAt: Start(),
	})
	w.must(err)
	text := func(s string) *string { return &s }
	for _, c := range []batch.TextChange{{Name: text("Assam")}, {Description: text("")}, {Name: text("毛尖"), Help: text("tel 112")}} {
		c.BrandID, c.ProductID = w.brand.ID, p.ID
		_, err := w.ChangeTexts(t.Context(), ids.Request{}, c)
		w.must(err)
	}
	_, err = w.ChangeTexts(t.Context(), ids.Request{}, batch.TextChange{BrandID: w.brand.ID, Name: text("Tea garden")})
	w.must(err)
	p.Name, p.Description, p.Help = "毛尖", "", "tel 112"
	read, err := w.Product(t.Context(), p.ID)
	w.must(err)
	if diff := cmp.Diff(p, read); diff != "" {
		t.Errorf("product (-want +got):\n%s", diff)
	}
	other, err := w.Product(t.Context(), w.product.ID)
	w.must(err)
	if diff := cmp.Diff(w.product, other); diff != "" {
		t.Errorf("another product (-want +got):\n%s", diff)
	}
	if b, err := w.Brand(t.Context(), w.brand.ID); err != nil || b.Name != "Tea garden" {
		t.Errorf("brand %v, %v", b, err)
	}
	feed := w.feed(100)
	want := []batch.TextsEntry{{BrandID: w.brand.ID, ProductID: p.ID}, {BrandID: w.brand.ID, ProductID: p.ID}, {BrandID: w.brand.ID, ProductID: p.ID}, {BrandID: w.brand.ID}}
	var got []batch.TextsEntry
	for _, e := range feed {
		if e.Kind == batch.TextsChanged {
			got = append(got, *e.Texts)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("feed (-want +got):\n%s", diff)
	}
}

func gtinNamesBrand(t *testing.T, open Open) {
	w := newWorld(t, open)
	const gtin = gs1.GTIN("09506000134352")
	if brand, ok, err := w.BrandOf(t.Context(), gtin); brand != 0 || ok || err != nil {
		t.Errorf("before anybody has it: %d, %v, %v", brand, ok, err)
	}
	for _, name := range []string{"first", "second"} {
		b, _ := w.addProduct(name)
		_, _, err := w.CreateProduct(t.Context(), ids.Request{}, batch.Product{BrandID: b.ID, Name: name, GTIN: gtin})
		w.must(err)
		brand, ok, err := w.BrandOf(t.Context(), gtin)
		if want := w.brand.ID + 1; brand != want || !ok || err != nil {
			t.Errorf("%s: %d, %v, %v, want %d", name, brand, ok, err, want)
		}
	}
}

func settingsChange(t *testing.T, open Open) {
	w := newWorld(t, open)
	if s, err := w.Settings(t.Context(), w.brand.ID); err != nil || !cmp.Equal(s, batch.Settings{BrandID: w.brand.ID}) {
		t.Errorf("before anybody set them: %+v, %v", s, err)
	}
	misses, hide, other := 12, true, w.brand.ID+1
	rules := &batch.TraceRules{Show: []string{"grade"}, Hide: []string{"logistics.carrier"}, Mask: &[]string{}}
	logo := "img_1.png"
	if name, err := w.KeepLogo(t.Context(), w.brand.ID, "one", logo); name != logo || err != nil {
		t.Fatalf("the logo is called %s, %v", name, err)
	}
	prefixes := &[]string{"4012345", "0614141"}
	want := batch.Settings{BrandID: w.brand.ID}
	for _, c := range []batch.SettingsChange{{MissesPerHour: &misses}, {HidePlaces: &hide}, {Logo: &logo}, {Trace: rules}, {GS1Prefixes: prefixes}, {MissesPerHour: new(int)}} {
		c.BrandID = w.brand.ID
		if c.MissesPerHour != nil {
			want.MissesPerHour = *c.MissesPerHour
		}
		want.HidePlaces = want.HidePlaces || c.HidePlaces != nil
		if c.Trace != nil {
			want.Trace = *c.Trace
		}
		if c.Logo != nil {
			want.Logo = *c.Logo
		}
		if c.GS1Prefixes != nil {
			want.GS1Prefixes = *c.GS1Prefixes
		}
		want.Version++
		version, _, err := w.ChangeSettings(t.Context(), ids.Request{}, c)
		w.must(err)
		got, err := w.Settings(t.Context(), w.brand.ID)
		w.must(err)
		if got.ChangedAt.IsZero() || version != want.Version {
			t.Errorf("version %d, changed at %v", version, got.ChangedAt)
		}
		want.ChangedAt = got.ChangedAt
		if !cmp.Equal(got, want) {
			t.Errorf("settings %+v, want %+v", got, want)
		}
	}
	told := 0
	for _, e := range w.feed(100) {
		if e.Kind == batch.SettingsChanged {
			told++
			if !cmp.Equal(*e.Settings, want) {
				t.Errorf("the feed tells %+v, want %+v", *e.Settings, want)
			}
		}
	}
	if told != 6 {
		t.Errorf("the feed tells of %d changes", told)
	}
	if s, err := w.Settings(t.Context(), other); err != nil || s.Version != 0 {
		t.Errorf("another brand has %+v, %v", s, err)
	}
}

func listsPageByID(t *testing.T, open Open) {
	w := newWorld(t, open)
	brands, products := []ids.BrandID{w.brand.ID}, []ids.ProductID{w.product.ID}
	for i := range 4 {
		b, p := w.addProduct(fmt.Sprint("brand ", i))
		brands, products = append(brands, b.ID), append(products, p.ID)
	}
	var gotBrands []ids.BrandID
	for after := ids.BrandID(0); ; {
		page, err := w.Brands(t.Context(), after, 2)
		w.must(err)
		for _, b := range page {
			gotBrands, after = append(gotBrands, b.ID), b.ID
		}
		if len(page) < 2 {
			break
		}
	}
	if diff := cmp.Diff(brands, gotBrands); diff != "" {
		t.Errorf("brands (-want +got):\n%s", diff)
	}
	var gotProducts []ids.ProductID
	for after := ids.ProductID(0); ; {
		page, err := w.Products(t.Context(), 0, after, 2)
		w.must(err)
		for _, p := range page {
			gotProducts, after = append(gotProducts, p.ID), p.ID
		}
		if len(page) < 2 {
			break
		}
	}
	if diff := cmp.Diff(products, gotProducts); diff != "" {
		t.Errorf("products of all brands (-want +got):\n%s", diff)
	}
	one, err := w.Products(t.Context(), brands[2], 0, 10)
	w.must(err)
	if len(one) != 1 || one[0].ID != products[2] {
		t.Errorf("products of brand %d = %v, want only %d", brands[2], one, products[2])
	}
}
