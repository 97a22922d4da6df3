package source

import (
	"context"
	"log/slog"
	"slices"
	"strings"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

// Config is what the service is made of.
type Config struct {
	Secrets Secrets
	Private bool // systems in this network may be asked, without TLS too
	Clock   clock.Clock
	Log     *slog.Logger
	Observe func(kind, result string) // told of each question; nil = nobody is
}

// Deps is what the service works with.
type Deps struct {
	Store   Store
	HTTP    Asker
	RPC     Asker
	Catalog Catalog
	Tasks   Tasks
}

// Service is the use cases. It is safe for concurrent use.
type Service struct {
	Config
	Deps
	live *live
}

// NewService wires the use cases. Close ends what is asked in the background.
func NewService(c Config, d Deps) (*Service, error) {
	s := &Service{Config: c, Deps: d}
	var err error
	s.live, err = newLive(s)
	return s, err
}

// Close waits for what is being asked.
func (s *Service) Close() error { s.live.close(); return nil }

// Registration is what a caller says of a system.
type Registration struct {
	Brand ids.BrandID // 0 = of all brands
	Kind  string
	Name  string
	URL   string
	Token string // that it is asked with; "" = none
}

func (s *Service) checkSystem(kind, name, url, token string) error {
	bad := append(one(Kinds(), "kind", kind), text("name", name, nameMax)...)
	if strings.TrimSpace(name) == "" {
		bad = append(bad, fault.Detail{Field: "name", Reason: "is missing"})
	}
	for _, r := range token {
		if r <= 0x20 || r > 0x7e {
			bad = append(bad, fault.Detail{Field: "token", Reason: "must be printable, without spaces"})
			break
		}
	}
	if len(token) > tokenMax {
		bad = append(bad, fault.Detail{Field: "token", Reason: "is too long"})
	}
	if len(bad) > 0 {
		return fault.New(fault.Invalid, "source.bad", "%s: %s", bad[0].Field, bad[0].Reason).With(bad...)
	}
	err := checkURL(url, s.Private)
	return err
}

// Register makes a system known and gives what it signs its pushes with.
func (s *Service) Register(ctx context.Context, r ids.Request, actor string, g Registration) (System, PushSecret, bool, error) {
	if err := s.mayUse(ctx, g.Brand); err != nil {
		return System{}, PushSecret{}, false, err
	}
	if err := s.checkSystem(g.Kind, g.Name, g.URL, g.Token); err != nil {
		return System{}, PushSecret{}, false, err
	}
	id := SystemID(ids.New(systemPrefix))
	sys, replayed, err := s.Store.AddSystem(ctx, r, System{
		ID: id, Brand: g.Brand, Kind: g.Kind, Name: g.Name, URL: g.URL, Token: s.Secrets.seal(id, g.Token),
		Enabled: true, Version: 1, CreatedBy: actor, CreatedAt: s.Clock.Now(),
	})
	return sys, s.Secrets.push(sys.ID), replayed, err
}

// mayUse answers why a caller may not have a source of a brand.
func (s *Service) mayUse(ctx context.Context, brand ids.BrandID) error {
	if brand != 0 {
		return s.Catalog.HasBrand(ctx, brand)
	}
	if !ids.ScopeOf(ctx).All() {
		return ErrInstallation
	}
	return nil
}

// System gives one of the caller's.
func (s *Service) system(ctx context.Context, id SystemID) (System, error) {
	if !ids.Valid(systemPrefix, string(id)) {
		return System{}, ErrUnknown
	}
	sys, err := s.Store.System(ctx, id)
	if err != nil {
		return System{}, err
	}
	if scope := ids.ScopeOf(ctx); !scope.All() && !scope.Has(sys.Brand) {
		return System{}, ErrUnknown
	}
	return sys, nil
}

// Systems lists the caller's by id; brand 0 = of each of his brands, and for who sees all
// those of all brands too.
func (s *Service) Systems(ctx context.Context, brand ids.BrandID, after SystemID, limit int) ([]System, error) {
	scope := ids.ScopeOf(ctx)
	if scope.All() {
		return s.Store.Systems(ctx, brand, after, limit)
	}
	own := scope.Brands()
	if brand != 0 {
		if err := s.Catalog.HasBrand(ctx, brand); err != nil {
			return nil, err
		}
		own = []ids.BrandID{brand}
	}
	var all []System
	for _, b := range own {
		some, err := s.Store.Systems(ctx, b, after, limit)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	slices.SortFunc(all, func(a, b System) int { return strings.Compare(string(a.ID), string(b.ID)) })
	return all[:min(len(all), limit)], nil
}

// Change is what of a system is to be another; nil = as it is.
type Change struct {
	Name, URL, Token *string
	Enabled          *bool
}

// ChangeSystem changes a system. Its token goes to no other host than it was given for.
func (s *Service) ChangeSystem(ctx context.Context, r ids.Request, id SystemID, c Change) (System, bool, error) {
	sys, err := s.system(ctx, id)
	if err == nil && sys.Removed {
		err = ErrUnknown
	}
	if err != nil {
		return System{}, false, err
	}
	was := sys.URL
	set(&sys.Name, c.Name)
	set(&sys.URL, c.URL)
	set(&sys.Enabled, c.Enabled)
	token := ""
	set(&token, c.Token)
	if err := s.checkSystem(sys.Kind, sys.Name, sys.URL, token); err != nil {
		return System{}, false, err
	}
	switch {
	case c.Token != nil:
		sys.Token = s.Secrets.seal(id, token)
	case len(sys.Token) > 0 && !sameHost(was, sys.URL):
		return System{}, false, ErrTokenNeeded
	}
	sys.Version++
	replayed, err := s.Store.ChangeSystem(ctx, r, sys)
	if err != nil {
		return System{}, false, err
	}
	sys, err = s.system(ctx, id)
	return sys, replayed, err
}

func set[T any](at, to *T) {
	if to != nil {
		*at = *to
	}
}

// Remove ends a system. What it pushed stays. It may be done again.
func (s *Service) Remove(ctx context.Context, id SystemID) error {
	if _, err := s.system(ctx, id); err != nil {
		return err
	}
	return s.Store.RemoveSystem(ctx, id)
}
