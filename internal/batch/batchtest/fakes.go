package batchtest

import (
	"context"
	"slices"
	"sync"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/codebook"
	"github.com/chopmark/chopmark/internal/ids"
)

// Keys is a batch.Keys with fixed keys.
type Keys struct {
	links *codebook.Links
	inner *codebook.Inner
	label *codebook.LabelSigner
}

var _ batch.Keys = (*Keys)(nil)

// InnerKey is the id of the fake's inner-code key.
const InnerKey = "key_inner"

// NewKeys makes the fake.
func NewKeys() *Keys {
	return &Keys{codebook.NewLinks([32]byte{1}), codebook.NewInner([32]byte{2}), codebook.NewLabelSigner([32]byte{3})}
}

// Token implements batch.Keys.
func (k *Keys) Token(s ids.Serial, version uint16, periodSeconds uint32, epoch uint64) (codebook.Token, error) {
	return k.links.Token(s, version, periodSeconds, epoch)
}

// InnerKeyID implements batch.Keys.
func (k *Keys) InnerKeyID() string { return InnerKey }

// InnerCode implements batch.Keys.
func (k *Keys) InnerCode(_ string, s ids.Serial) (codebook.InnerCode, error) {
	return k.inner.Code(s), nil
}

// SignatureKeyID implements batch.Keys.
func (k *Keys) SignatureKeyID() string { return k.label.Key().ID().String() }

// LabelSigner implements batch.Keys.
func (k *Keys) LabelSigner(string) (*codebook.LabelSigner, error) { return k.label, nil }

// Tasks is a batch.Tasks that only notes whom it woke.
type Tasks struct {
	mu          sync.Mutex
	woken       []ids.TaskID // guarded by mu
	cancellable int          // guarded by mu
}

var _ batch.Tasks = (*Tasks)(nil)

// Wake implements batch.Tasks.
func (t *Tasks) Wake(ctx context.Context, id ids.TaskID) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.woken = append(t.woken, id)
	if ctx.Done() != nil {
		t.cancellable++
	}
	return ctx.Err()
}

// Woken lists whom it woke.
func (t *Tasks) Woken() []ids.TaskID {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.woken)
}

// Cancellable is how many of them were woken under a context that can be cancelled.
func (t *Tasks) Cancellable() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.cancellable
}

// Scans is a batch.Scans of what Scan was called for. Err, when set, is what AnyIn
// answers.
type Scans struct {
	Err error

	mu   sync.Mutex
	seen []ids.Serial // guarded by mu
}

var _ batch.Scans = (*Scans)(nil)

// Scan notes a sighting.
func (s *Scans) Scan(serial ids.Serial) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, serial)
}

// AnyIn implements batch.Scans.
func (s *Scans) AnyIn(first, last ids.Serial) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.seen, func(at ids.Serial) bool { return first <= at && at <= last }), s.Err
}
