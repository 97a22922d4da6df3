package batchtest

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/ids"
)

// logos: a file that is named is never given to be removed, whatever its age; one that is not is
// given when it is old, until it is forgotten, and neither it nor its name comes back.
func logos(t *testing.T, open Open) {
	w := newWorld(t, open)
	w.brand, w.product = w.addProduct("Of logos")    // the databases of several may have been used
	later := Start().Add(100 * 365 * 24 * time.Hour) // whatever the store's clock
	keep := func(content, fresh, want string) {
		t.Helper()
		if name, err := w.KeepLogo(t.Context(), w.brand.ID, content, fresh); name != want || err != nil {
			t.Errorf("%s is called %s, %v, want %s", content, name, err, want)
		}
	}
	name := func(logo string) error {
		_, _, err := w.ChangeSettings(t.Context(), ids.Request{}, batch.SettingsChange{BrandID: w.brand.ID, Logo: &logo})
		return err
	}
	abandoned := func(before time.Time, want ...string) {
		t.Helper()
		if got, err := w.AbandonedLogos(t.Context(), before, 100); !slices.Equal(got, want) || err != nil {
			t.Errorf("abandoned are %v, %v, want %v", got, err, want)
		}
	}
	keep("red", "img_a", "img_a")
	w.must(name("img_a"))
	keep("red", "img_b", "img_a")
	keep("blue", "img_c", "img_c")
	abandoned(Start().Add(-240 * time.Hour)) // all of them are young
	abandoned(later, "img_c")
	abandoned(later, "img_c") // until it is forgotten
	if err := name("img_c"); !errors.Is(err, batch.ErrLogoGone) {
		t.Errorf("what is being removed is named: %v", err)
	}
	if s, err := w.Settings(t.Context(), w.brand.ID); s.Logo != "img_a" || err != nil {
		t.Errorf("the logo is %s, %v", s.Logo, err)
	}
	keep("blue", "img_d", "img_d") // again, under another name
	w.must(name("img_d"))
	w.must(w.ForgetLogo(t.Context(), "img_c"))
	w.must(w.ForgetLogo(t.Context(), "img_d")) // which is not being removed
	abandoned(later, "img_a")
	w.must(name(""))
	abandoned(later, "img_a", "img_d")
	if err := name("img_never"); !errors.Is(err, batch.ErrLogoGone) {
		t.Errorf("a file that never was is named: %v", err)
	}
	_, other := w.addProduct("Another")
	if logo, err := w.KeepLogo(t.Context(), other.BrandID, "red", "img_e"); logo != "img_e" || err != nil {
		t.Errorf("another brand's is called %s, %v", logo, err)
	}
}
