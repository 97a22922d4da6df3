package complaint

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/picture"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

// Limit bounds what one address may file: nil, or ErrLimited with when to come back.
type Limit func(from netip.Addr) error

// Door lets addresses file, also where complaints are kept by another process.
type Door struct {
	limit Limit
	room  chan struct{} // a place for each photo that is looked at
}

// photosAtOnce bounds the memory for photos.
const photosAtOnce = 8

// NewDoor lets each address file within its limit, and a few at once.
func NewDoor(limit Limit) *Door { return &Door{limit, make(chan struct{}, photosAtOnce)} }

// Service is the use cases. It is safe for concurrent use.
type Service struct {
	*Door

	store  Store
	items  Items
	photos Photos
	clock  clock.Clock
}

// NewService wires the use cases.
func NewService(store Store, items Items, photos Photos, limit Limit, c clock.Clock) *Service {
	return &Service{NewDoor(limit), store, items, photos, c}
}

// Admit lets an address begin to file, before its body is read. done must be called.
func (d *Door) Admit(from netip.Addr) (done func(), _ error) {
	if err := d.limit(from); err != nil {
		return nil, err
	}
	select {
	case d.room <- struct{}{}:
		return func() { <-d.room }, nil
	default:
		return nil, ErrBusy
	}
}

// File keeps what somebody says of an item, whatever the code is worth: what is nobody's is
// kept for the platform. It tells nothing.
func (s *Service) File(ctx context.Context, r ids.Request, ask Ask) error {
	code, err := ask.check()
	if err != nil {
		return err
	}
	c := Complaint{Code: ask.Code, Token: ask.Token, Text: ask.Text, Place: ask.Place, CreatedAt: s.clock.Now()}
	if code != nil {
		c.Brand, c.Batch, _ = s.items.Find(code.String())
	}
	c.ID = ID(ids.NewIn(ids.ShardOf(c.Brand), IDPrefix))
	if len(ask.Photo) > 0 {
		clean, kind, err := cleanPhoto(ask.Photo)
		if err != nil {
			return err
		}
		c.Photo = kind
		if err := s.store.Expect(ctx, c.ID, kind, c.CreatedAt); err != nil {
			return fmt.Errorf("keep photo: %w", err)
		}
		if err := s.photos.Put(ctx, c.PhotoFile(), clean); err != nil {
			return fmt.Errorf("keep photo: %w", err)
		}
	}
	_, replayed, err := s.store.File(ctx, r, c)
	if c.Photo != picture.None && (replayed || err != nil && !outcomeUnknown(err)) {
		err = errors.Join(err, s.drop(context.WithoutCancel(ctx), &c))
	}
	return err
}

// drop removes a photo that no complaint names, and then what tells of it.
func (s *Service) drop(ctx context.Context, c *Complaint) error {
	if err := s.photos.Remove(ctx, c.PhotoFile()); err != nil {
		return fmt.Errorf("remove photo: %w", err)
	}
	return s.store.Forget(ctx, c.ID)
}

const (
	abandonedAfter = 24 * time.Hour // no request takes so long
	sweepAtOnce    = 100
)

// Sweep removes photos of complaints that were never filed: a process ended between the
// two, or a commit whose outcome was not known did not happen.
func (s *Service) Sweep(ctx context.Context) (removed int, _ error) {
	for {
		some, err := s.store.Abandoned(ctx, s.clock.Now().Add(-abandonedAfter), sweepAtOnce)
		if err != nil {
			return removed, err
		}
		for i := range some {
			if err := s.drop(ctx, &some[i]); err != nil {
				return removed, err
			}
			removed++
		}
		if len(some) < sweepAtOnce {
			return removed, nil
		}
	}
}

// outcomeUnknown: it may have been kept, and then it needs its photo.
func outcomeUnknown(err error) bool { return fault.KindOf(err) == fault.Unavailable }

// find answers ErrUnknown for what is not the caller's.
func (s *Service) find(ctx context.Context, id ID) (Complaint, error) {
	if !ids.Valid(IDPrefix, string(id)) {
		return Complaint{}, ErrUnknown
	}
	c, err := s.store.Complaint(ctx, id)
	if err == nil && !ids.ScopeOf(ctx).Has(c.Brand) {
		return Complaint{}, ErrUnknown
	}
	return c, err
}

// Complaint is one complaint.
func (s *Service) Complaint(ctx context.Context, id ID) (Complaint, error) { return s.find(ctx, id) }

// ErrNoBrand answers a list of what is nobody's to who does not see all brands.
var ErrNoBrand = fault.New(fault.NotFound, "brand.unknown", "no such brand")

// List gives complaints of a brand, the newest first, behind after ("" = from the first);
// brand 0 = about codes that are nobody's, for who sees all brands.
func (s *Service) List(ctx context.Context, brand ids.BrandID, filter Filter, after ID, limit int) ([]Complaint, error) {
	if !ids.ScopeOf(ctx).Has(brand) {
		return nil, ErrNoBrand
	}
	switch filter {
	case "", OnlyOpen, OnlyClosed:
	default:
		return nil, fault.Field("complaint.bad_state", "state", "must be open or closed")
	}
	var before *Complaint
	if after != "" {
		c, err := s.find(ctx, after)
		if err != nil || c.Brand != brand {
			return nil, fault.Field("input.bad_cursor", "cursor", "was not given out by this list")
		}
		before = &c
	}
	return s.store.List(ctx, brand, filter, before, limit)
}

// Photo reads a complaint's photo.
func (s *Service) Photo(ctx context.Context, id ID) (io.ReadCloser, picture.Kind, error) {
	c, err := s.find(ctx, id)
	if err != nil {
		return nil, "", err
	}
	if c.Photo == picture.None {
		return nil, "", ErrUnknown
	}
	f, err := s.photos.Get(ctx, c.PhotoFile())
	return f, c.Photo, err
}

// Close says what came of a complaint.
func (s *Service) Close(ctx context.Context, r ids.Request, id ID, by, outcome string) (Complaint, bool, error) {
	if err := checkText("outcome", outcome, OutcomeMax, true); err != nil {
		return Complaint{}, false, err
	}
	if _, err := s.find(ctx, id); err != nil {
		return Complaint{}, false, err
	}
	return s.store.Close(ctx, r, id, by, outcome)
}
