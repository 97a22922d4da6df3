package batch

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

// Settings are what a brand chooses for its items while they are scanned. Every process
// that answers scans has them, by the feed. How long addresses are kept is scan.Policy.
type Settings struct {
	BrandID       ids.BrandID `json:"brand_id"`
	Version       int64       `json:"version"`         // grows with every change; 0 = nobody ever set them
	MissesPerHour int         `json:"misses_per_hour"` // of one address, with what names this brand; 0 = the usual
	HidePlaces    bool        `json:"hide_places"`     // the page and the public timeline show no places
	Trace         TraceRules  `json:"trace"`           // what the public sees of an item's timeline
	Logo          string      `json:"logo,omitempty"`  // the name of its picture among the files; "" = none
	GS1Prefixes   []string    `json:"gs1_prefixes"`    // its GS1 company prefixes, of 6 to 12 digits
	ChangedAt     time.Time   `json:"changed_at"`      // zero = nobody ever set them
}

// TraceRules are what a brand chose for its timelines, as words of its stages and keys; the
// timeline says what they mean. An edge has no timeline and is not told of them, nor of
// company prefixes, which only the repository of events wants.
type TraceRules struct {
	Show []string  `json:"show,omitempty"` // keys beyond the usual
	Hide []string  `json:"hide,omitempty"` // stages, keys, or "stage.key"
	Mask *[]string `json:"mask,omitempty"` // keys whose names are masked; nil = the usual
}

const (
	traceWordsMax     = 64
	traceWordBytesMax = 64
)

// check is the rule for the words: each plain and short.
func (t *TraceRules) check() error {
	for field, words := range map[string][]string{"trace.show": t.Show, "trace.hide": t.Hide, "trace.mask": words(t.Mask)} {
		if len(words) > traceWordsMax {
			return fault.Field("brand.bad_settings", field, "has %d words, at most %d are allowed", len(words), traceWordsMax)
		}
		if slices.ContainsFunc(words, func(w string) bool { return CheckName(field, w, traceWordBytesMax) != nil }) {
			return fault.Field("brand.bad_settings", field, "each must be a stage, a key, or stage.key, of at most %d bytes", traceWordBytesMax)
		}
	}
	return nil
}

func words(list *[]string) []string {
	if list == nil {
		return nil
	}
	return *list
}

// SettingsChange is new settings of a brand. What is nil stays.
type SettingsChange struct {
	BrandID       ids.BrandID
	MissesPerHour *int
	HidePlaces    *bool
	Trace         *TraceRules
	Logo          *string
	GS1Prefixes   *[]string
}

const (
	prefixesMax     = 100
	prefixDigitsMin = 6
	prefixDigitsMax = 12
)

// checkPrefixes is the rule for company prefixes: no company's begins with another's.
func checkPrefixes(all []string) error {
	if len(all) > prefixesMax {
		return fault.Field("brand.bad_settings", "gs1_prefixes", "has %d prefixes, at most %d are allowed", len(all), prefixesMax)
	}
	sorted := slices.Sorted(slices.Values(all))
	for i, p := range sorted {
		switch {
		case len(p) < prefixDigitsMin || len(p) > prefixDigitsMax || strings.Trim(p, "0123456789") != "":
			return fault.Field("brand.bad_settings", "gs1_prefixes", "each must be %d to %d digits", prefixDigitsMin, prefixDigitsMax)
		case i > 0 && strings.HasPrefix(p, sorted[i-1]):
			return fault.Field("brand.bad_settings", "gs1_prefixes", "%s begins with %s, which cannot be another company's then", p, sorted[i-1])
		}
	}
	return nil
}

const missesPerHourMax = 10_000

func (c *SettingsChange) check() error {
	if c.MissesPerHour == nil && c.HidePlaces == nil && c.Trace == nil && c.Logo == nil && c.GS1Prefixes == nil {
		return ErrNoChange
	}
	if c.Trace != nil {
		if err := c.Trace.check(); err != nil {
			return err
		}
	}
	if c.GS1Prefixes != nil {
		if err := checkPrefixes(*c.GS1Prefixes); err != nil {
			return err
		}
	}
	if n := c.MissesPerHour; n != nil && (*n < 0 || *n > missesPerHourMax) {
		return fault.Field("brand.bad_settings", "limits.misses_per_hour", "must be between 1 and %d, or 0 for the usual", missesPerHourMax)
	}
	return nil
}

// Settings gives a brand's settings.
func (s *Service) Settings(ctx context.Context, id ids.BrandID) (Settings, error) {
	if _, err := s.Brand(ctx, id); err != nil {
		return Settings{}, err
	}
	return s.store.Settings(ctx, id)
}

// ChangeSettings changes them and names the version that came of it.
func (s *Service) ChangeSettings(ctx context.Context, cmd Command, c SettingsChange) (version int64, replayed bool, _ error) {
	if err := c.check(); err != nil {
		return 0, false, err
	}
	if _, err := s.Brand(ctx, c.BrandID); err != nil {
		return 0, false, err
	}
	version, replayed, err := s.store.ChangeSettings(ctx, cmd.Request, c)
	if err != nil {
		return 0, false, err
	}
	return version, replayed, s.catchUp(ctx, ids.ShardOf(c.BrandID))
}

// Settings gives a brand's settings as this process knows them; the zero Settings when
// nobody ever set them.
func (p *Projection) Settings(id ids.BrandID) Settings { return (*p.settings.Load())[id] }

// AllSettings gives those of every brand that has some.
func (p *Projection) AllSettings() []Settings {
	var all []Settings
	for _, s := range *p.settings.Load() {
		all = append(all, s)
	}
	return all
}

// OnSettings names who is told of settings that are in force from now on. It is called
// before the feed is followed beyond Start or Load, and must not block.
func (p *Projection) OnSettings(tell func(Settings)) { p.told = tell }

// setSettings puts settings in force that are newer than those at hand.
func (p *Projection) setSettings(news ...Settings) {
	p.setting.Lock()
	defer p.setting.Unlock()
	next := maps.Clone(*p.settings.Load())
	for _, s := range news {
		if s.Version > next[s.BrandID].Version {
			next[s.BrandID] = s
			p.told(s)
		}
	}
	p.settings.Store(&next)
}
