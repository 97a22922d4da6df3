package identity

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// AuditCut says up to where a tenant's log of changes was removed, because its time was over.
// The rest is chained to the hash of the last entry that is gone; under its own MAC nobody
// makes one up for entries that he took out.
type AuditCut struct {
	Tenant TenantID  `json:"tenant"`
	N      int64     `json:"n"` // of the last entry that is gone; 0 = all are there
	At     time.Time `json:"at"`
	Hash   Hash      `json:"-"` // of that entry
	MAC    Hash      `json:"-"`
}

// macOfCut covers all of a cut.
func (s *Secrets) macOfCut(c *AuditCut) Hash {
	raw, err := json.Marshal(c)
	if err != nil {
		panic(err) // cannot be: plain fields
	}
	key := hmac.New(sha256.New, s.Audit[:])
	key.Write([]byte("cut/1")) // so that no entry's hash is a cut's
	h := hmac.New(sha256.New, key.Sum(nil))
	h.Write(c.Hash[:])
	h.Write(raw)
	return Hash(h.Sum(nil))
}

// begin is where what is left of a chain begins.
func (s *Secrets) begin(t TenantID, c AuditCut) (AuditHead, error) {
	if c == (AuditCut{}) {
		return AuditHead{}, nil
	}
	if mac := s.macOfCut(&c); c.Tenant != t || !hmac.Equal(mac[:], c.MAC[:]) {
		return AuditHead{}, fmt.Errorf("the log of changes of tenant %s begins after entry %d, and no cut of ours says so", t, c.N)
	}
	return AuditHead{c.N, c.Hash}, nil
}

// next checks that an entry follows on the last one.
func (s *Secrets) next(last AuditHead, e *Entry) (AuditHead, error) {
	if e.N != last.N+1 {
		return last, fmt.Errorf("the log of changes of tenant %s lacks entry %d", e.Tenant, last.N+1)
	}
	if s.link(last.Hash, e) != e.Hash {
		return last, fmt.Errorf("entry %d of the log of changes of tenant %s was altered", e.N, e.Tenant)
	}
	return AuditHead{e.N, e.Hash}, nil
}

// cutAudit removes what was kept for its time from the front of every chain, whole days at a
// time. What does not hold together is not removed: nobody gets rid of an entry by altering it.
func (s *Service) cutAudit(ctx context.Context, now time.Time) error {
	if s.cfg.Keep.Audit == 0 {
		return nil
	}
	before := now.Add(-s.cfg.Keep.Audit).Truncate(24 * time.Hour)
	heads, err := s.store.AuditHeads(ctx)
	if err != nil {
		return err
	}
	cuts, err := s.store.AuditCuts(ctx)
	for t := range heads {
		err = errors.Join(err, s.cutChain(ctx, t, cuts[t], before))
	}
	return err
}

func (s *Service) cutChain(ctx context.Context, t TenantID, was AuditCut, before time.Time) error {
	for {
		last, err := s.secrets.begin(t, was)
		if err != nil {
			return err
		}
		page, err := s.store.AuditFrom(ctx, t, 0, auditPageMax)
		if err != nil {
			return err
		}
		old := 0
		for old < len(page) && page[old].At.Before(before) {
			if last, err = s.secrets.next(last, &page[old]); err != nil {
				return err
			}
			old++
		}
		if old == 0 {
			return nil
		}
		cut := AuditCut{Tenant: t, N: last.N, At: s.clock.Now().Truncate(time.Microsecond), Hash: last.Hash}
		cut.MAC = s.secrets.macOfCut(&cut)
		if ok, err := s.store.CutAudit(ctx, was.N, cut); err != nil || !ok { // not ok: another process is at it
			return err
		}
		s.log.Info("the log of changes was cut: its time is over", "tenant_id", t, "up_to", cut.N)
		if was = cut; old < len(page) || old < auditPageMax {
			return nil
		}
	}
}
