package resolve

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

// Record is a set or a policy as it is kept and sent on. One that was deleted has no
// body, and stays: who follows must hear of it.
type Record struct {
	Name      string      `json:"name"` // an anchor, or "policy:7"
	BrandID   ids.BrandID `json:"brand_id"`
	Body      []byte      `json:"body"`
	Version   int64       `json:"version"`
	ChangedAt time.Time   `json:"changed_at"`
}

// Store keeps records. What returned without an error must be durable.
type Store interface {
	// Put must replace the record of the name and give it the next version: versions
	// grow in the order of commit, so whoever has read up to one misses nothing below
	// it. It must refuse a name that another brand has with ErrTaken, and with ifVersion
	// ≥ 0 any version but that one with ErrVersion (0 = there is none). The same body
	// again must change nothing and give the version that it has.
	Put(ctx context.Context, r Record, ifVersion int64) (version int64, changed bool, _ error)
	// Record gives one; ErrUnknown when there is none.
	Record(ctx context.Context, name string) (Record, error)
	// List gives a brand's records that are not deleted by name, after one; 0 = of every brand.
	List(ctx context.Context, brand ids.BrandID, after string, limit int) ([]Record, error)
	// Changes gives records with a version above after, in its order.
	Changes(ctx context.Context, after int64, limit int) ([]Record, error)
	// Head is the highest version that was given.
	Head(ctx context.Context) (int64, error)
}

const policyPrefix = "policy:"

func policyName(b ids.BrandID) string { return policyPrefix + strconv.Itoa(int(b)) }

// record is how a set is kept.
func (s *Set) record() (Record, error) {
	body := []byte(nil)
	if len(s.Links) > 0 {
		var err error
		if body, err = json.Marshal(s.Links); err != nil {
			return Record{}, fmt.Errorf("encode links: %w", err)
		}
	}
	return Record{Name: s.Anchor.String(), BrandID: s.BrandID, Body: body, Version: s.Version, ChangedAt: s.ChangedAt}, nil
}

func (p *Policy) record() (Record, error) {
	body, err := json.Marshal(p)
	if err != nil {
		return Record{}, fmt.Errorf("encode link policy: %w", err)
	}
	return Record{Name: policyName(p.BrandID), BrandID: p.BrandID, Body: body, Version: p.Version, ChangedAt: p.ChangedAt}, nil
}

// set reads a record that is not a policy's.
func (r *Record) set() (Set, error) {
	anchor, err := ParseAnchor(r.Name)
	if err != nil {
		return Set{}, err
	}
	s := Set{Anchor: anchor, BrandID: r.BrandID, Version: r.Version, ChangedAt: r.ChangedAt}
	if len(r.Body) == 0 {
		return s, nil
	}
	if err := json.Unmarshal(r.Body, &s.Links); err != nil {
		return Set{}, fmt.Errorf("read links of %s: %w", r.Name, err)
	}
	for i := range s.Links {
		if reason := s.Links[i].locate(); reason != "" {
			return Set{}, fault.New(fault.Internal, "resolve.damaged", "the links of %s: href %s", r.Name, reason)
		}
	}
	return s, nil
}

func (r *Record) policy() (*Policy, error) {
	p := &Policy{BrandID: r.BrandID, Version: r.Version, ChangedAt: r.ChangedAt}
	if len(r.Body) == 0 {
		return p, nil
	}
	if err := json.Unmarshal(r.Body, p); err != nil {
		return nil, fmt.Errorf("read %s: %w", r.Name, err)
	}
	return p, nil
}

func (r *Record) isPolicy() bool { return strings.HasPrefix(r.Name, policyPrefix) }
