package batch

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

// Logos keeps note of the files of logos, so that those which nothing names any more can be
// removed, and never one that is named or about to be.
type Logos interface {
	// KeepLogo must note a file before it is written, and give its name: that of the same
	// content of the brand if there is one that is not being removed, else fresh.
	KeepLogo(ctx context.Context, brand ids.BrandID, content, fresh string) (name string, _ error)
	// AbandonedLogos must mark, for good, files that no settings name and that were neither
	// put there, named, nor had their name taken away since before, and give some of those that
	// are marked. ChangeSettings must answer ErrLogoGone for one.
	AbandonedLogos(ctx context.Context, before time.Time, limit int) (names []string, _ error)
	// ForgetLogo must forget a file that was marked and is removed.
	ForgetLogo(ctx context.Context, name string) error
}

// ErrLogoGone answers who names a logo whose file is being removed.
var ErrLogoGone = fault.New(fault.Unavailable, "brand.logo_gone", "the picture waited too long for its name; nothing was changed, send it again")

const (
	logoAbandonedAfter = 24 * time.Hour // no request takes so long, and no edge is so far behind
	logosAtOnce        = 100
)

// KeepLogo names the file of a picture, before it is written. The name of a file that was removed
// never comes back, so that whoever removes it late removes nothing else.
func (s *Service) KeepLogo(ctx context.Context, brand ids.BrandID, content [32]byte, kind string) (string, error) {
	var fresh [16]byte
	if _, err := rand.Read(fresh[:]); err != nil {
		return "", err
	}
	return s.store.KeepLogo(ctx, brand, hex.EncodeToString(content[:]), "img_"+hex.EncodeToString(fresh[:])+"."+kind)
}

// SweepLogos removes files of logos that nothing names. Any number of processes may do it, and
// end at any moment.
func (s *Service) SweepLogos(ctx context.Context, remove func(ctx context.Context, name string) error) (removed int, _ error) {
	for {
		names, err := s.store.AbandonedLogos(ctx, s.clock.Now().Add(-logoAbandonedAfter), logosAtOnce)
		if err != nil || len(names) == 0 {
			return removed, err
		}
		for _, name := range names {
			if err := remove(ctx, name); err != nil {
				return removed, err
			}
			if err := s.store.ForgetLogo(ctx, name); err != nil {
				return removed, err
			}
			removed++
		}
	}
}
