package batch

import (
	"context"
	"encoding/json"
	"time"

	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
)

// Store is what the domain asks of its SQL engine. Every method that takes a
// Request must tie the request to its effect in the effect's own transaction; when
// the request had its effect before it must change nothing and give that effect
// back with replayed = true. What returned without an error must be durable.
type Store interface {
	Catalog
	Batches
	Claims
	Changes
	Logos
	// Effect names the effect that a request had, as replayed would. What is decided
	// anew at each try must ask it first: the world has moved on since.
	Effect(ctx context.Context, r ids.Request) (effect string, replayed bool, _ error)
}

// Catalog keeps brands and products.
type Catalog interface {
	CreateBrand(ctx context.Context, r ids.Request, b Brand) (_ Brand, replayed bool, _ error)
	Brand(ctx context.Context, id ids.BrandID) (Brand, error)
	Brands(ctx context.Context, after ids.BrandID, limit int) ([]Brand, error)
	CreateProduct(ctx context.Context, r ids.Request, p Product) (_ Product, replayed bool, _ error)
	Product(ctx context.Context, id ids.ProductID) (Product, error)
	Products(ctx context.Context, brand ids.BrandID, after ids.ProductID, limit int) ([]Product, error)
	// BrandOf is the brand whose product has a GTIN; of several products the first that was
	// made. ok is false when none has it.
	BrandOf(ctx context.Context, gtin gs1.GTIN) (brand ids.BrandID, ok bool, _ error)
	// ChangeTexts changes a product's texts, or a brand's, and tells the feed.
	ChangeTexts(ctx context.Context, r ids.Request, t TextChange) (replayed bool, _ error)
	// Settings gives those of a brand, of version 0 when nobody ever set them.
	Settings(ctx context.Context, brand ids.BrandID) (Settings, error)
	// ChangeSettings changes them, raises their version by one, and tells the feed.
	ChangeSettings(ctx context.Context, r ids.Request, c SettingsChange) (version int64, replayed bool, _ error)
}

// Arrivals tells what there is in the order in which it came to be, from the beginning on:
// who keeps a copy elsewhere follows it.
type Arrivals interface {
	// ProductHeads is up to where there may be numbers of products, of each order that
	// products are numbered in. A product that is made after the question must be above its order's.
	ProductHeads(ctx context.Context) ([]int64, error)
	// ProductsSince gives the products of an order above a number, in their order.
	ProductsSince(ctx context.Context, order int, after int64, limit int) ([]Product, error)
	// CatalogSince is Changes.Feed with nothing but BatchCreated and TextsChanged.
	CatalogSince(ctx context.Context, shard ids.Shard, after int64, limit int) ([]Entry, error)
}

// NewBatch asks for a batch. The store takes its serials from the shard's counter
// (at most limit of them in all) and makes counter, batch, and the claim and task
// when there are any, one transaction.
type NewBatch struct {
	Batch  Batch // First is set by the store
	Shard  ids.Shard
	Region int
	Limit  int64
	Claim  *Claim // of the whole batch
	Task   *NewTask
	Event  Event
}

// NewTask is a durable task that is born with its effect.
type NewTask struct {
	ID        ids.TaskID
	BrandID   ids.BrandID
	Kind      string
	Step      string
	Payload   func(claimed []Claim) (payload json.RawMessage, total int64, _ error)
	File      string
	CreatedBy string
	CreatedAt time.Time
}

// Event is what others are told, in the transaction of the fact.
type Event struct {
	Type    string
	BrandID ids.BrandID
	Subject string
	Data    json.RawMessage
}

// Batches keeps batches.
type Batches interface {
	// CreateBatch must refuse a second batch_no of a product with ErrBatchExists.
	// effect is the task's id when there is a task, else the batch's.
	CreateBatch(ctx context.Context, r ids.Request, n NewBatch) (effect string, replayed bool, _ error)
	Batch(ctx context.Context, id ids.BatchID) (Batch, error)
	BatchByNo(ctx context.Context, product ids.ProductID, no string) (Batch, error)
	// ListBatches gives batches newest first; 0 for any product.
	ListBatches(ctx context.Context, product ids.ProductID, before time.Time, beforeID ids.BatchID, limit int) ([]Batch, error)
	// BatchesOf gives one brand's batches newest first.
	BatchesOf(ctx context.Context, brand ids.BrandID, before time.Time, beforeID ids.BatchID, limit int) ([]Batch, error)
}

// ClaimAsk asks for numbers of a batch.
type ClaimAsk struct {
	BatchID   ids.BatchID
	Shard     ids.Shard // the batch's; the claims of a shard may share a transaction
	Claimant  string
	Quantity  int64 // one block of this many
	Within    Run   // or, with Quantity 0, all that is free in here
	CreatedAt time.Time
}

// Claims keeps who holds which numbers.
type Claims interface {
	// Claim takes numbers from a batch's pool: the lowest free block of
	// ask.Quantity numbers, else ErrExhausted; or all that is free of ask.Within,
	// which may be several blocks or none. The task is born with them; its payload
	// is made of what was claimed. effect is the task's id when there is a task and
	// no block was asked for, else the claim's.
	Claim(ctx context.Context, r ids.Request, ask ClaimAsk, task *NewTask) (_ []Claim, effect string, replayed bool, _ error)
	// FindClaim finds a claim of the batch; "" for any batch.
	FindClaim(ctx context.Context, batch ids.BatchID, id ids.ClaimID) (Claim, error)
	// ClaimsOf gives a batch's claims in order of their numbers.
	ClaimsOf(ctx context.Context, batch ids.BatchID, within Run, limit int) ([]Claim, error)
	// ReturnClaim gives from..Claim.To back to the pool. decided is as for
	// Changes.AppendChange: a state change that came between may be one of these
	// numbers, and then it must give back nothing and answer ErrRaced.
	ReturnClaim(ctx context.Context, r ids.Request, c Claim, from, decided int64) (_ Claim, replayed bool, _ error)
	// Free gives the blocks of a batch that no one holds.
	Free(ctx context.Context, batch ids.BatchID) (Runs, error)
	// PoolCandidates gives the batches of a product with a free block that is long
	// enough, nearest expiry first, those expired at now left out; free is what all
	// its batches have left.
	PoolCandidates(ctx context.Context, product ids.ProductID, quantity int64, now time.Time) (candidates []ids.BatchID, free int64, _ error)
}

// FeedKind tells what an entry of the feed is about.
type FeedKind uint8

// The kinds, as stored: append, never renumber.
const (
	_               FeedKind = iota
	BatchCreated             // Entry.Batch
	StateChanged             // Entry.Change
	Reissued                 // Entry.Item: its version
	InnerChecked             // Entry.Item: its first right inner code
	TextsChanged             // Entry.Texts
	SettingsChanged          // Entry.Settings: those of now, perhaps of a later change
)

// Entry is one step of a shard's feed, in the order of commit.
type Entry struct {
	Seq      int64
	At       time.Time
	Kind     FeedKind
	Batch    *Batch
	Change   *Change
	Item     *ItemChange
	Texts    *TextsEntry
	Settings *Settings
}

// TextsEntry tells whose texts are others now: one product's, or with 0 all of the
// brand's.
type TextsEntry struct {
	BrandID   ids.BrandID
	ProductID ids.ProductID
}

// ItemChange is what the feed tells of a single item.
type ItemChange struct {
	ID      ids.ChangeID
	Batch   ids.Serial
	Serial  ids.Serial
	Version uint16
	Actor   string
	Reason  string
}

// Changes keeps what happened to items, and the feed of it.
type Changes interface {
	// AppendChange commits a state change. decided is the feed's position on which
	// the decision stands: when another state change came between, it must commit
	// nothing and answer ErrRaced.
	AppendChange(ctx context.Context, r ids.Request, c Change, decided int64, events []Event) (_ Change, replayed bool, _ error)
	// Reissue gives the item version i.Version, or answers ErrRaced when it is not
	// at the one before.
	Reissue(ctx context.Context, r ids.Request, i ItemChange, brand ids.BrandID, event Event) (_ ItemChange, replayed bool, _ error)
	// TryInner counts a try of the item's inner code, at most triesMax in all, and
	// keeps the time of the first right one. A try that is asked again must not count
	// again.
	TryInner(ctx context.Context, r ids.Request, i ItemChange, brand ids.BrandID, right bool, triesMax int) (InnerRecord, error)
	FindChange(ctx context.Context, id ids.ChangeID) (Change, error)
	// Feed gives a shard's entries after seq in the order of commit.
	Feed(ctx context.Context, shard ids.Shard, after int64, limit int) ([]Entry, error)
	// FindEvent gives what was said last of a brand's event, or ErrUnknownChange.
	FindEvent(ctx context.Context, brand ids.BrandID, event string) (Change, error)
	// History gives, in the order of commit, the state changes of a batch that ask
	// something of a run of it, what was refused included, with at least what they did to
	// the run and asked of it, and nothing of other batches.
	History(ctx context.Context, batch ids.Serial, within Run) ([]Change, error)
	// ItemHistory is History of one number, with the item's own entries.
	ItemHistory(ctx context.Context, batch ids.Serial, no int64, serial ids.Serial) ([]Change, []Entry, error)
	// AppendEvents tells others of a fact that lies outside the tables.
	AppendEvents(ctx context.Context, shard ids.Shard, events []Event) error
	// Recent gives up to limit of a brand's entries that are about items and that
	// took effect before the one at (before, seq), the newest first.
	Recent(ctx context.Context, brand ids.BrandID, before time.Time, seq int64, limit int) ([]Entry, error)
	// FeedHead is the shard's last seq.
	FeedHead(ctx context.Context, shard ids.Shard) (int64, error)
	// FeedHeads is where every shard's order of commit stands, in one cheap question.
	// It must be at or above FeedHead, and a later commit must raise it: who has read
	// the feed after he asked has everything up to it.
	FeedHeads(ctx context.Context) ([ids.Shards]int64, error)
}

// Source is what a projection follows.
type Source interface {
	Feed(ctx context.Context, shard ids.Shard, after int64, limit int) ([]Entry, error)
	FeedHead(ctx context.Context, shard ids.Shard) (int64, error)
	FeedHeads(ctx context.Context) ([ids.Shards]int64, error)
}

// InnerRecord is what is known of the tries of an item's inner code.
type InnerRecord struct {
	Tries   int
	FirstAt time.Time // of the first right one; zero = none yet
	Locked  bool      // the tries were used up before this one
}

// Extra is the record of one item that is not about its state.
type Extra struct {
	Version    uint16      `json:"version"`    // 1 until reissued
	Superseded []time.Time `json:"superseded"` // when the versions before were ended, the newest last; the last 8
	InnerAt    time.Time   `json:"inner_at"`   // the first right inner code
}

// Note is what a state change says beside the state.
type Note struct {
	ChangeID  ids.ChangeID    `json:"change_id"`
	To        gs1.Disposition `json:"to"`
	Effective time.Time       `json:"effective"`
	Committed time.Time       `json:"committed"`
	At        time.Time       `json:"at"`
	Place     string          `json:"place"`
	Reason    string          `json:"reason"`
}

// Local is the disk side of the projection: what is too big for memory, and the
// memory's own snapshot. It may be lost at any time; the feed fills it again. Until
// Checkpoint nothing needs to be durable.
type Local interface {
	// Load gives the standing of the last checkpoint; fresh when there is none.
	Load() (_ Standing, fresh bool, _ error)
	// Batches gives the batches with a first serial at or above from, in their order:
	// all that the checkpoint knows, and perhaps some that came after it.
	Batches(from ids.Serial, limit int) ([]Batch, error)
	// LoadBatch fills in what the checkpoint knows of a batch.
	LoadBatch(first ids.Serial) (Snapshot, error)
	// PutBatch and the other Puts must be readable at once.
	PutBatch(b *Batch) error
	PutNote(shard ids.Shard, seq int64, n Note) error
	PutItems(first ids.Serial, singles Runs, seq int64) error
	PutExtra(s ids.Serial, e Extra) error
	Note(shard ids.Shard, seq int64) (Note, bool, error)
	ItemSeq(s ids.Serial) (int64, bool, error)
	Extra(s ids.Serial) (Extra, bool, error)
	// Checkpoint stores changed batches with where they stand, all or
	// nothing.
	Checkpoint(at Standing, changed []Snapshot) error
	// Reset forgets everything.
	Reset() error
}

// Standing is where a checkpoint stands.
type Standing struct {
	Positions [ids.Shards]int64 `json:"positions"`
	AsOf      time.Time         `json:"as_of"`              // see Projection.AsOf; zero = not known
	Settings  []Settings        `json:"settings,omitempty"` // of the brands that have some
}

// Snapshot is the stored form of a batch's states, whole or the part that changed.
type Snapshot struct {
	First    ids.Serial
	Segments []Segment // empty = never changed
	Pages    map[int64][]byte
}
