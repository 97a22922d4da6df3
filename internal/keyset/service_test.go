package keyset_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chopmark/chopmark/internal/keyset"
	"github.com/chopmark/chopmark/internal/keyset/keysetfile"
	"github.com/chopmark/chopmark/internal/keyset/keysettest"
	"github.com/chopmark/chopmark/internal/platform/clock"
)

// place is an installation: a file and what SQL knows.
type place struct {
	path  string
	store *keysettest.Store
	keyset.Options
}

func newPlace(t *testing.T) *place {
	t.Helper()
	p := &place{path: filepath.Join(t.TempDir(), "keyset.json"), store: &keysettest.Store{}}
	p.Options = keyset.Options{Vault: keysetfile.New(p.path), Store: p.store, Clock: clock.Func(keysettest.Start)}
	return p
}

func (p *place) open(t *testing.T) *keyset.Set {
	t.Helper()
	set, err := keyset.Open(t.Context(), p.Options)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func (p *place) known(t *testing.T) []keyset.Known {
	t.Helper()
	known, err := p.store.Known(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return known
}

func TestOpen(t *testing.T) {
	t.Parallel()
	record := func(t *testing.T, p *place, s *keyset.Set) {
		t.Helper()
		if err := p.store.Record(t.Context(), s.Known()); err != nil {
			t.Fatal(err)
		}
	}
	write := func(t *testing.T, p *place, s *keyset.Set) {
		t.Helper()
		if err := p.Vault.Create(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	set, other := keysettest.NewSet(), keysettest.NewSet()
	newer, err := set.Rotate(keyset.Link, keysettest.Start(), 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		prepare func(t *testing.T, p *place)
		want    error       // nil = opens
		same    *keyset.Set // the set that must come, when it opens
		says    string      // beside the file's name, when it does not
	}{
		{"first start", func(*testing.T, *place) {}, nil, nil, ""},
		{"second start", func(t *testing.T, p *place) { write(t, p, set); record(t, p, set); p.HasBatches = true }, nil, set, ""},
		{"cut off before the record", func(t *testing.T, p *place) { write(t, p, set) }, nil, set, ""},
		{"rotation cut off before the record", func(t *testing.T, p *place) { write(t, p, newer); record(t, p, set) }, nil, newer, ""},
		{"file gone", func(t *testing.T, p *place) { record(t, p, set); p.HasBatches = true }, keyset.ErrMissing, nil, "chopmark keys import"},
		{"file gone, no batches", func(t *testing.T, p *place) { record(t, p, set) }, keyset.ErrMissing, nil, "chopmark keys import"},
		{"everything gone but batches", func(_ *testing.T, p *place) { p.HasBatches = true }, keyset.ErrMissing, nil, "chopmark keys import"},
		{"file unknown, with batches", func(t *testing.T, p *place) { write(t, p, set); p.HasBatches = true }, keyset.ErrUnrecorded, nil, "chopmark keys import"},
		{"another keyset", func(t *testing.T, p *place) { write(t, p, other); record(t, p, set) }, keyset.ErrDifferent, nil, "chopmark keys import"},
		{"older than SQL", func(t *testing.T, p *place) { write(t, p, set); record(t, p, newer) }, keyset.ErrDifferent, nil, "link key"},
		{"same id, another secret", func(t *testing.T, p *place) {
			write(t, p, set)
			known := set.Known()
			known[0].Check = "0123456789abcdef"
			if err := p.store.Record(t.Context(), known); err != nil {
				t.Fatal(err)
			}
		}, keyset.ErrDifferent, nil, "0123456789abcdef"},
		{"codebook key unknown", func(t *testing.T, p *place) {
			write(t, p, set)
			if err := p.store.Record(t.Context(), set.Known()[1:]); err != nil {
				t.Fatal(err)
			}
		}, keyset.ErrDifferent, nil, "codebook key"},
		{"damaged", func(t *testing.T, p *place) { writeFile(t, p.path, "junk", 0o600) }, keyset.ErrDamaged, nil, "chopmark keys import"},
		{"damaged, known", func(t *testing.T, p *place) { writeFile(t, p.path, "", 0o600); record(t, p, set) }, keyset.ErrDamaged, nil, "chopmark keys import"},
		{"exposed", func(t *testing.T, p *place) {
			write(t, p, set)
			record(t, p, set)
			if err := os.Chmod(p.path, 0o644); err != nil {
				t.Fatal(err)
			}
		}, keyset.ErrExposed, nil, "chmod 600"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			c.prepare(t, p)
			before := p.known(t)
			got, err := keyset.Open(t.Context(), p.Options)
			if !errors.Is(err, c.want) {
				t.Fatalf("Open = %v, want %v", err, c.want)
			}
			if err != nil {
				if !strings.Contains(err.Error(), p.path) || !strings.Contains(err.Error(), c.says) {
					t.Errorf("%q does not name the file and %q", err, c.says)
				}
				if got != nil || len(p.known(t)) != len(before) {
					t.Error("a refused start gave a set or recorded something")
				}
				return
			}
			if c.same != nil && !got.Equal(c.same) {
				t.Error("Open gave another keyset")
			}
			p.mustBeSettled(t, got)
		})
	}
}

// mustBeSettled: file and SQL agree on the set, and the next start gives it too.
func (p *place) mustBeSettled(t *testing.T, set *keyset.Set) {
	t.Helper()
	p.HasBatches = true
	if again := p.open(t); !again.Equal(set) {
		t.Error("the next start gives another keyset")
	}
	known := map[string]keyset.Known{}
	for _, k := range p.known(t) {
		known[k.ID] = k
	}
	want := map[string]keyset.Known{}
	for _, k := range set.Known() {
		want[k.ID] = k
	}
	if diff := cmp.Diff(want, known); diff != "" {
		t.Errorf("known keys (-want +got):\n%s", diff)
	}
}

func writeFile(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

var errCut = errors.New("cut off")

// TestOpenAfterCrash cuts the first start and a rotation off between their two
// writes, which is the only moment that another start can find.
func TestOpenAfterCrash(t *testing.T) {
	t.Parallel()
	t.Run("Open", func(t *testing.T) {
		p := newPlace(t)
		p.store.Err = errCut
		if _, err := keyset.Open(t.Context(), p.Options); !errors.Is(err, errCut) {
			t.Fatalf("Open = %v: a set that is not recorded must not be given", err)
		}
		left, err := p.Vault.Load(t.Context())
		if err != nil {
			t.Fatal("the file was not written before the record: ", err)
		}
		p.store.Err = nil
		set := p.open(t)
		if !set.Equal(left) {
			t.Error("the keyset of the first try was not adopted")
		}
		p.mustBeSettled(t, set)
	})
	t.Run("Rotate", func(t *testing.T) {
		p := newPlace(t)
		before := p.open(t)
		p.store.Err = errCut
		if _, err := keyset.Rotate(t.Context(), p.Options, keyset.Link, 0); !errors.Is(err, errCut) {
			t.Fatalf("Rotate = %v", err)
		}
		p.store.Err = nil
		p.HasBatches = true
		set := p.open(t)
		if set.Current(keyset.Link).ID == before.Current(keyset.Link).ID {
			t.Error("the new key is lost")
		}
		p.mustBeSettled(t, set)
	})
}

// TestOpenTogether: many first starts at once end with one keyset.
func TestOpenTogether(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	sets, errs := make([]*keyset.Set, 8), make([]error, 8)
	var wg sync.WaitGroup
	for i := range sets {
		wg.Go(func() { sets[i], errs[i] = keyset.Open(t.Context(), p.Options) })
	}
	wg.Wait()
	for i := range sets {
		if errs[i] != nil {
			t.Fatal(errs[i])
		}
		if !sets[i].Equal(sets[0]) {
			t.Error("two keysets")
		}
	}
	p.mustBeSettled(t, sets[0])
}

// TestOpenLosesTheRace: the file appears between the look and the creation.
func TestOpenLosesTheRace(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	winner := keysettest.NewSet()
	if err := p.Vault.Create(t.Context(), winner); err != nil {
		t.Fatal(err)
	}
	file := p.Vault
	p.Vault = &lateVault{Vault: file}
	if set := p.open(t); !set.Equal(winner) {
		t.Error("Open gave another keyset than the winner's")
	}
	p.Vault = file
	p.mustBeSettled(t, winner)
}

// lateVault shows its keyset from the second look on.
type lateVault struct {
	keyset.Vault
	looked bool
}

func (v *lateVault) Load(ctx context.Context) (*keyset.Set, error) {
	if !v.looked {
		v.looked = true
		return nil, keyset.ErrMissing
	}
	return v.Vault.Load(ctx)
}

// TestTwoVaultsOneStore: two machines with a directory each and one database must
// not both become the codebook.
func TestTwoVaultsOneStore(t *testing.T) {
	t.Parallel()
	a, b := newPlace(t), newPlace(t)
	a.open(t)
	// b has read an empty store just before a recorded.
	b.Store = blindOnce{a.store}
	if _, err := keyset.Open(t.Context(), b.Options); !errors.Is(err, keyset.ErrDifferent) {
		t.Errorf("the second keyset opened: %v", err)
	}
}

type blindOnce struct{ *keysettest.Store }

func (blindOnce) Known(context.Context) ([]keyset.Known, error) { return nil, nil }

func TestOpenPassesOnFailures(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := keyset.Open(ctx, p.Options); !errors.Is(err, context.Canceled) {
		t.Errorf("a store that does not answer: %v", err)
	}
	p.Vault = &keysettest.Vault{Err: errCut}
	if _, err := keyset.Open(t.Context(), p.Options); !errors.Is(err, errCut) {
		t.Errorf("a vault that does not answer: %v", err)
	}
	if len(p.known(t)) != 0 {
		t.Error("something was recorded")
	}
}

func TestRotateDurably(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	old := p.open(t)
	set, err := keyset.Rotate(t.Context(), p.Options, keyset.Link, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if len(set.Verifying(keyset.Link, keysettest.Start())) != 2 || set.Current(keyset.Link).ID == old.Current(keyset.Link).ID {
		t.Error("the link key was not rotated")
	}
	p.mustBeSettled(t, set)
	if _, err := keyset.Rotate(t.Context(), p.Options, keyset.Codebook, 0); !errors.Is(err, keyset.ErrCodebookFixed) {
		t.Errorf("codebook: %v", err)
	}
	p.mustBeSettled(t, set)
}

func TestRestore(t *testing.T) {
	t.Parallel()
	lose := func(t *testing.T, p *place) {
		t.Helper()
		if err := os.Remove(p.path); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name  string
		spoil func(t *testing.T, p *place, set *keyset.Set) *keyset.Set // gives what is imported
		want  error
	}{
		{"file lost", func(t *testing.T, p *place, s *keyset.Set) *keyset.Set { lose(t, p); return s }, nil},
		{"file damaged", func(t *testing.T, p *place, s *keyset.Set) *keyset.Set {
			writeFile(t, p.path, "junk", 0o600)
			return s
		}, nil},
		{"another file", func(t *testing.T, p *place, s *keyset.Set) *keyset.Set {
			if err := p.Vault.Replace(t.Context(), nil, keysettest.NewSet()); err != nil {
				t.Fatal(err)
			}
			return s
		}, nil},
		{"nothing wrong", func(_ *testing.T, _ *place, s *keyset.Set) *keyset.Set { return s }, nil},
		{"database lost", func(_ *testing.T, p *place, s *keyset.Set) *keyset.Set {
			p.store = &keysettest.Store{}
			p.Store = p.store
			return s
		}, nil},
		{"both lost", func(t *testing.T, p *place, s *keyset.Set) *keyset.Set {
			lose(t, p)
			p.store = &keysettest.Store{}
			p.Store = p.store
			return s
		}, nil},
		{"another import", func(t *testing.T, p *place, _ *keyset.Set) *keyset.Set {
			lose(t, p)
			return keysettest.NewSet()
		}, keyset.ErrDifferent},
		{"another import over the right file", func(*testing.T, *place, *keyset.Set) *keyset.Set {
			return keysettest.NewSet()
		}, keyset.ErrDifferent},
		{"database lost, another import", func(_ *testing.T, p *place, _ *keyset.Set) *keyset.Set {
			p.store = &keysettest.Store{}
			p.Store = p.store
			return keysettest.NewSet()
		}, keyset.ErrExists},
		{"database lost, file damaged", func(t *testing.T, p *place, s *keyset.Set) *keyset.Set {
			p.store = &keysettest.Store{}
			p.Store = p.store
			writeFile(t, p.path, "junk", 0o600)
			return s
		}, keyset.ErrExists},
		{"exposed", func(t *testing.T, p *place, s *keyset.Set) *keyset.Set {
			if err := os.Chmod(p.path, 0o644); err != nil {
				t.Fatal(err)
			}
			return s
		}, keyset.ErrExposed},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			set := p.open(t)
			p.HasBatches = true
			err := keyset.Restore(t.Context(), p.Options, c.spoil(t, p, set))
			if !errors.Is(err, c.want) {
				t.Fatalf("Restore = %v, want %v", err, c.want)
			}
			if err == nil {
				p.mustBeSettled(t, set)
			}
		})
	}
}

// TestRestoreKeepsNewerKeys: an import that SQL vouches for never takes the place
// of a right keyset with a key more.
func TestRestoreKeepsNewerKeys(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	set := p.open(t)
	p.store.Err = errCut
	if _, err := keyset.Rotate(t.Context(), p.Options, keyset.Inner, 0); !errors.Is(err, errCut) {
		t.Fatal(err)
	}
	p.store.Err = nil
	if err := keyset.Restore(t.Context(), p.Options, set); err != nil {
		t.Fatal(err)
	}
	if got := p.open(t); len(got.Verifying(keyset.Inner, keysettest.Start())) != 2 {
		t.Error("the newer key is lost")
	}
}
