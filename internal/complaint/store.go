package complaint

import (
	"context"
	"io"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/picture"
)

// Store keeps complaints.
type Store interface {
	// Expect must note durably that a photo is being kept for a complaint which is not filed yet.
	Expect(ctx context.Context, id ID, photo picture.Kind, at time.Time) error
	// Abandoned gives complaints, with nothing but id and photo, that are expected since before
	// a time. It must make sure first that they are not filed any more.
	Abandoned(ctx context.Context, before time.Time, limit int) ([]Complaint, error)
	// Forget takes back that a complaint is expected.
	Forget(ctx context.Context, id ID) error
	// File must keep the complaint and tell of it in one transaction, once for each request;
	// a repeat gives what was kept. A complaint of no brand is not told of.
	// One with a photo must be expected, and is not any more then; else ErrLate.
	File(ctx context.Context, r ids.Request, c Complaint) (_ Complaint, replayed bool, _ error)
	// Complaint answers ErrUnknown for one that there is not.
	Complaint(ctx context.Context, id ID) (Complaint, error)
	// List gives those of a brand, the newest first, behind the one given; 0 = of no brand.
	List(ctx context.Context, brand ids.BrandID, filter Filter, before *Complaint, limit int) ([]Complaint, error)
	// Close must close an open complaint, once for each request; one that another request
	// closed is ErrClosed.
	Close(ctx context.Context, r ids.Request, id ID, by, outcome string) (_ Complaint, replayed bool, _ error)
}

// Filter chooses among complaints.
type Filter string

// The filters; "" = all.
const (
	OnlyOpen   Filter = "open"
	OnlyClosed Filter = "closed"
)

// Items tells whose a code is.
type Items interface {
	// Find gives brand and batch of a code; ok is false for one that is nobody's.
	Find(code string) (brand ids.BrandID, batch ids.BatchID, ok bool)
}

// Photos keeps files under names.
type Photos interface {
	// Put must be durable when it returns.
	Put(ctx context.Context, name string, data []byte) error
	// Get answers ErrUnknown for a name that there is not.
	Get(ctx context.Context, name string) (io.ReadCloser, error)
	Remove(ctx context.Context, name string) error
}
