package batch

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chopmark/chopmark/internal/batch/batchevent"
	"github.com/chopmark/chopmark/internal/codebook"
	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

// Keys is what the service wants of the keyset.
type Keys interface {
	// Token is the link token under the present link key.
	Token(s ids.Serial, version uint16, periodSeconds uint32, epoch uint64) (codebook.Token, error)
	// InnerKeyID names the present inner-code key.
	InnerKeyID() string
	// InnerCode is an item's inner code under the named key.
	InnerCode(keyID string, s ids.Serial) (codebook.InnerCode, error)
	// SignatureKeyID names the present key of label signatures.
	SignatureKeyID() string
	// LabelSigner signs labels under the named key; it is refused for one that was revoked,
	// and where that key is withheld.
	LabelSigner(keyID string) (*codebook.LabelSigner, error)
}

// Tasks is what the service wants of the task runner.
type Tasks interface {
	Wake(ctx context.Context, id ids.TaskID) error
}

// Scans is what the service wants of the sightings.
type Scans interface {
	// AnyIn reports whether an item with a serial of first..last was ever scanned.
	AnyIn(first, last ids.Serial) (bool, error)
}

// Containers tells what is packed in what.
type Containers interface {
	// Inside gives the runs of items in a container now, at any depth, in their order.
	Inside(ctx context.Context, container string) ([]SerialRun, error)
}

// SerialRun is a run of serials, both ends included.
type SerialRun struct{ From, To ids.Serial }

// Config is what an operator may set, and what an installation has.
type Config struct {
	Region     int
	PublicURL  string     // what codes link to, without a slash at the end
	ExpireRule time.Time  // of batches that name no expiry; zero = they never expire
	Containers Containers // nil = nothing is known of containers
	Control    Control
	Filled     func(brand ids.BrandID, codes int64, err error) // told of batches that pools allocate; nil = nobody is
}

// Service is the domain's use cases. It is safe for concurrent use.
type Service struct {
	Config
	*Reader
	store Store
	tasks Tasks
	scans Scans
	table *Transitions
	// deciding is held from a decision on a shard's states to its commit; another
	// process is caught by AppendChange's position.
	deciding [ids.Shards]sync.Mutex
	filling  sync.Mutex                // held from a claim that found its pool empty to the claim of what was filled in
	expires  atomic.Pointer[time.Time] // Config.ExpireRule, or what came after it
}

// NewService wires the use cases. The projection must have been started.
func NewService(cfg Config, store Store, items *codebook.Items, proj *Projection, keys Keys, tasks Tasks, scans Scans, c clock.Clock) *Service {
	s := &Service{
		Config: cfg, Reader: NewReader(cfg.PublicURL, items, proj, keys, c), store: store, tasks: tasks, scans: scans,
		table: NewTransitions(),
	}
	s.SetExpireRule(cfg.ExpireRule)
	return s
}

// SetExpireRule changes Config.ExpireRule for batches made from now on.
func (s *Service) SetExpireRule(at time.Time) { s.expires.Store(&at) }

// Command says who asks, and which request it is.
type Command struct {
	Request  ids.Request
	Actor    string
	Approved bool // by a second person
}

// CreateBrand makes a brand.
func (s *Service) CreateBrand(ctx context.Context, cmd Command, name string) (Brand, bool, error) {
	if err := CheckName("name", name, nameBytesMax); err != nil {
		return Brand{}, false, err
	}
	return s.store.CreateBrand(ctx, cmd.Request, Brand{Name: name, CreatedAt: s.clock.Now()})
}

// CreateProduct makes a product of a brand.
func (s *Service) CreateProduct(ctx context.Context, cmd Command, p Product, gtin string) (Product, bool, error) {
	if err := CheckName("name", p.Name, nameBytesMax); err != nil {
		return p, false, err
	}
	for field, text := range map[string]string{"description": p.Description, "help": p.Help} {
		if err := checkText(field, text); err != nil {
			return p, false, err
		}
	}
	if gtin != "" {
		g, err := gs1.ParseGTIN(gtin)
		if err != nil {
			return p, false, err
		}
		p.GTIN = g
	}
	if err := p.Pool.check(); err != nil {
		return p, false, err
	}
	if _, err := s.Brand(ctx, p.BrandID); err != nil {
		return p, false, err
	}
	p.CreatedAt = s.clock.Now()
	return s.store.CreateProduct(ctx, cmd.Request, p)
}

// check is the rule for a product's pool; the zero Pool keeps nothing ready.
func (p *Pool) check() error {
	if *p == (Pool{}) {
		return nil
	}
	if p.Target < 1 || p.Target > BatchMax {
		return fault.Field("pool.bad_target", "pool.target", "must be between 1 and %d", int64(BatchMax))
	}
	if p.BatchQuantity == 0 {
		p.BatchQuantity = p.Target
	}
	if p.BatchQuantity < 1 || p.BatchQuantity > BatchMax {
		return fault.Field("pool.bad_quantity", "pool.batch_quantity", "must be between 1 and %d", int64(BatchMax))
	}
	spec := BatchSpec{Quantity: p.BatchQuantity, RotateEvery: p.RotateEvery, Mark: p.Mark, Signed: p.Signed, ExpireHours: p.ExpireHours}
	if err := spec.checkSettings(); err != nil {
		return err
	}
	p.Mark = spec.Mark
	return nil
}

// generated is the event of codes that came into being.
func generated(b *Batch, kind string, t *NewTask) (Event, error) {
	e := batchevent.Generated{
		Kind: kind, BatchID: string(b.ID), BrandID: int32(b.BrandID), ProductID: int32(b.ProductID),
		BatchNo: b.No, Quantity: b.Quantity,
	}
	if t != nil {
		e.TaskID, e.UserID = string(t.ID), t.CreatedBy
	}
	return NewEvent(batchevent.CodeGenerated, b.BrandID, string(b.ID), e)
}

// NewEvent encodes an event.
func NewEvent(topic string, brand ids.BrandID, subject string, data any) (Event, error) {
	raw, err := json.Marshal(data)
	if err != nil {
		return Event{}, fmt.Errorf("encode event %s: %w", topic, err)
	}
	return Event{Type: topic, BrandID: brand, Subject: subject, Data: raw}, nil
}

// catchUp makes what was just committed visible to this process.
func (s *Service) catchUp(ctx context.Context, shard ids.Shard) error {
	return s.proj.CatchUp(context.WithoutCancel(ctx), shard)
}

// wake starts a task that is committed, also when who asked for it has gone.
func (s *Service) wake(ctx context.Context, id ids.TaskID) error {
	return s.tasks.Wake(context.WithoutCancel(ctx), id)
}
