package identity

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// Entry is one line of the log of changes. A change has two: that it was asked for, on
// disk before it is made, and what came of it. So no change is without an entry; an
// entry without its second one tells of a crash in between.
//
// People are named by their ids, so that a person can be erased and the log stands.
type Entry struct {
	Tenant    TenantID  `json:"tenant"`
	N         int64     `json:"n"`
	At        time.Time `json:"at"`
	Actor     string    `json:"actor"`  // a user's or key's id; "operator": the machine's own
	Role      Role      `json:"role"`   // as it was
	Action    string    `json:"action"` // "POST /api/v1/brands", "sign_in"
	Subject   string    `json:"subject"`
	Ends      int64     `json:"ends"`   // the number of the entry whose outcome this is; 0 = it was asked for
	Status    int       `json:"status"` // what was answered; 0 = not yet
	Before    string    `json:"before"` // JSON; "" = not told
	After     string    `json:"after"`
	Reason    string    `json:"reason"`
	RequestID string    `json:"request_id"`
	Hash      Hash      `json:"-"`
}

// link is the entry's hash: a MAC over the one before and all of this.
func (s *Secrets) link(before Hash, e *Entry) Hash {
	raw, err := json.Marshal(e)
	if err != nil {
		panic(err) // cannot be: plain fields
	}
	h := hmac.New(sha256.New, s.Audit[:])
	h.Write(before[:])
	h.Write(raw)
	return Hash(h.Sum(nil))
}

// auditor appends entries, those that come at once in one transaction.
type auditor struct {
	store   Audits
	secrets *Secrets
	log     *slog.Logger

	mu      sync.Mutex
	queue   []*pendingEntry // guarded by mu
	writing bool            // guarded by mu
	last    *pendingEntry   // that was handed in; guarded by mu
	work    sync.WaitGroup
}

type pendingEntry struct {
	entry Entry
	err   error
	done  chan struct{}
}

// auditBatchMax is how many entries share a transaction.
const auditBatchMax = 256

// put hands an entry in; it is on disk when done is closed and err is nil.
func (a *auditor) put(e Entry) *pendingEntry {
	p := &pendingEntry{entry: e, done: make(chan struct{})}
	a.mu.Lock()
	a.queue, a.last = append(a.queue, p), p
	if !a.writing {
		a.writing = true
		a.work.Go(a.write) // ends when nothing waits
	}
	a.mu.Unlock()
	return p
}

// settle waits for what was handed in so far.
func (a *auditor) settle(ctx context.Context) {
	a.mu.Lock()
	last := a.last
	a.mu.Unlock()
	if last == nil {
		return
	}
	select {
	case <-last.done:
	case <-ctx.Done():
	}
}

// append waits until the entry is on disk, and gives its number.
func (a *auditor) append(ctx context.Context, e Entry) (n int64, _ error) {
	p := a.put(e)
	select {
	case <-p.done:
		return p.entry.N, p.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func (a *auditor) write() {
	for {
		a.mu.Lock()
		some := a.queue[:min(len(a.queue), auditBatchMax)]
		a.queue = a.queue[len(some):]
		if len(some) == 0 {
			a.writing = false
			a.mu.Unlock()
			return
		}
		a.mu.Unlock()
		entries := make([]Entry, len(some))
		for i, p := range some {
			entries[i] = p.entry
		}
		done, err := a.store.AppendAudit(context.Background(), entries, a.secrets.link)
		if err != nil {
			a.log.Error("the log of changes cannot be written", "entries", len(entries), "error", err)
		}
		for i, p := range some {
			if p.err = err; err == nil {
				p.entry = done[i]
			}
			close(p.done)
		}
	}
}

const (
	auditTextMax = 4 << 10
	auditPageMax = 1000
)

// Change is a change that a caller asks for.
type Change struct {
	Actor     *Principal
	Action    string
	Subject   string
	RequestID string
}

// Outcome is what came of it.
type Outcome struct {
	Subject       string // "" = the change's
	Status        int
	Before, After string
	Reason        string
}

// Begin notes a change before it is made; end notes what came of it, soon.
func (s *Service) Begin(ctx context.Context, c Change) (end func(Outcome), _ error) {
	e := Entry{
		Tenant: c.Actor.Tenant, At: s.clock.Now(), Actor: c.Actor.ID, Role: c.Actor.Role, Action: c.Action,
		Subject: cut(c.Subject, nameMax), RequestID: cut(c.RequestID, nameMax),
	}
	n, err := s.audit.append(ctx, e)
	if err != nil {
		return nil, fmt.Errorf("note a change before it is made: %w", err)
	}
	return func(o Outcome) {
		e.At, e.Ends, e.Status = s.clock.Now(), n, o.Status
		e.Before, e.After, e.Reason = cut(o.Before, auditTextMax), cut(o.After, auditTextMax), cut(o.Reason, reasonMax)
		if o.Subject != "" {
			e.Subject = cut(o.Subject, nameMax)
		}
		s.audit.put(e)
	}, nil
}

// note appends an entry that has no second one, soon.
func (s *Service) note(t TenantID, actor string, role Role, action, subject, reason string) {
	s.audit.put(Entry{Tenant: t, At: s.clock.Now(), Actor: actor, Role: role, Action: action, Subject: subject, Reason: reason, Status: 200})
}

// cut shortens a text to so many bytes, never within a character.
func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && s[most]&0xc0 == 0x80 {
		most--
	}
	return s[:most]
}

// Audit lists a tenant's entries, the newest first; before 0 = from the end.
func (s *Service) Audit(ctx context.Context, p *Principal, t TenantID, before int64, limit int) ([]Entry, error) {
	if t == "" {
		t = p.Tenant
	}
	if t != p.Tenant && p.Tenant != Platform {
		return nil, ErrUnknownTenant
	}
	if _, ok := s.dir.Load().tenants[t]; !ok {
		return nil, ErrUnknownTenant
	}
	if before <= 0 {
		before = 1 << 62
	}
	s.audit.settle(ctx)
	return s.store.Audit(ctx, t, before, min(limit, auditPageMax))
}

// AuditCheck is what CheckAudit has walked.
type AuditCheck struct {
	Entries int64
	Cut     int64 // entries that are gone because their time was over
}

// CheckAudit walks every chain and tells of the first entry that is missing, altered or
// out of its order. Entries may be missing in front alone, where a cut of ours says so.
func (s *Service) CheckAudit(ctx context.Context) (c AuditCheck, _ error) {
	heads, err := s.store.AuditHeads(ctx)
	if err != nil {
		return c, fmt.Errorf("read the ends of the log of changes: %w", err)
	}
	cuts, err := s.store.AuditCuts(ctx)
	if err != nil {
		return c, fmt.Errorf("read where the log of changes was cut: %w", err)
	}
	for tenant := range cuts { // of which not even an end is there
		if _, ok := heads[tenant]; !ok {
			heads[tenant] = AuditHead{}
		}
	}
	for tenant, head := range heads {
		begin, err := s.secrets.begin(tenant, cuts[tenant])
		if err != nil {
			return c, err
		}
		last, err := s.checkChain(ctx, tenant, begin)
		c.Entries, c.Cut = c.Entries+last.N-begin.N, c.Cut+begin.N
		if err != nil {
			return c, err
		}
		if last != head {
			return c, fmt.Errorf("the log of changes of tenant %s ends with entry %d, and was written up to %d", tenant, last.N, head.N)
		}
	}
	return c, nil
}

// checkChain walks what is there, also what should be gone.
func (s *Service) checkChain(ctx context.Context, t TenantID, last AuditHead) (AuditHead, error) {
	for seen := int64(0); ; seen = last.N {
		page, err := s.store.AuditFrom(ctx, t, seen, auditPageMax)
		if err != nil {
			return last, fmt.Errorf("read the log of changes: %w", err)
		}
		for i := range page {
			if last, err = s.secrets.next(last, &page[i]); err != nil {
				return last, err
			}
		}
		if len(page) < auditPageMax {
			return last, nil
		}
	}
}
