package line

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

// Add puts children into an open container, all or none. Those that are in it already stay.
func (s *Service) Add(ctx context.Context, r ids.Request, brand ids.BrandID, epc string, texts []string) (Container, Change, bool, error) {
	c, err := s.Find(ctx, brand, epc)
	if err == nil {
		err = checkCount(texts)
	}
	if err != nil {
		return c, Change{}, false, err
	}
	for range triesMax {
		// A request that had its effect has it for good, whatever became of its children since.
		if _, had, err := s.Store.Did(ctx, c.Brand, r); err != nil {
			return c, Change{}, false, err
		} else if had {
			done, replayed, err := s.Store.Add(ctx, r, c.Brand, c.SSCC, nil, 0)
			return c, done, replayed, err
		}
		children, closed, err := s.judge(ctx, &c, texts)
		if err != nil {
			return c, Change{}, false, err
		}
		done, replayed, err := s.Store.Add(ctx, r, c.Brand, c.SSCC, children, closed)
		if !errors.Is(err, ErrRaced) {
			return c, done, replayed, err
		}
	}
	return c, Change{}, false, ErrRaced
}

// candidate is a child that is being judged.
type candidate struct {
	Child

	text string
	why  *fault.Error // it is refused, unless it is in the container already; nil = it is not
}

// judge says which children go in, and gives the sum of Places: Add sees by it when a line has
// closed one of them in since.
func (s *Service) judge(ctx context.Context, c *Container, texts []string) (children []Child, closed uint64, _ error) {
	if c.State != Open {
		return nil, 0, ErrNotOpen
	}
	all, err := s.resolve(ctx, c, texts)
	if err != nil {
		return nil, 0, err
	}
	var keys []string
	for i := range all {
		keys = append(keys, all[i].Key)
	}
	held, closed, err := s.Store.Places(ctx, c.Brand, keys)
	if err != nil {
		return nil, 0, err
	}
	var fresh []Child
	for i := range all {
		if one := &all[i]; held[one.Key] == "" && one.why == nil {
			fresh = append(fresh, one.Child)
		}
	}
	in, err := s.Events.Parents(ctx, c.Brand, fresh)
	if err != nil {
		return nil, 0, err
	}
	refused := refusals{told: s.Refused}
	for i := range all {
		one := &all[i]
		at := held[one.Key]
		switch {
		case at == c.SSCC:
		case one.why != nil:
			refused.add(one.text, one.why)
		case at != "":
			refused.add(one.text, ErrChildInOpen.Textf("is in %s, which is open", at))
		case in[one.Key] != "":
			refused.add(one.text, ErrChildPacked.Textf("is in %s already", in[one.Key]))
		}
		children = append(children, one.Child)
	}
	slices.SortFunc(children, func(a, b Child) int { return strings.Compare(a.Key, b.Key) })
	return children, closed, refused.err()
}

// resolve says what each text names. What names nothing, or the same as another, is refused.
func (s *Service) resolve(ctx context.Context, c *Container, texts []string) ([]candidate, error) {
	refused := refusals{told: s.Refused}
	names := make([]name, 0, len(texts))
	var ssccs []string
	for _, text := range texts {
		n, err := parseChild(text)
		if err != nil {
			refused.add(n.text, ErrChildName)
			continue
		}
		if names = append(names, n); n.sscc != "" {
			ssccs = append(ssccs, n.sscc)
		}
	}
	if err := refused.err(); err != nil {
		return nil, err
	}
	found, err := s.Store.Containers(ctx, c.Brand, ssccs...)
	if err != nil {
		return nil, err
	}
	packed := map[string]*Container{}
	for i := range found {
		packed[found[i].SSCC] = &found[i]
	}
	seen := map[string]bool{}
	all := make([]candidate, 0, len(names))
	for _, n := range names {
		one, err := s.candidate(ctx, c, n, packed[n.sscc])
		switch {
		case err != nil:
			return nil, err
		case one.Key == "":
			refused.add(n.text, one.why)
			continue
		case seen[one.Key]:
			refused.add(n.text, ErrChildRepeated)
		}
		all, seen[one.Key] = append(all, one), true
	}
	return all, refused.err()
}

// candidate says what a name names: a container of a line's, else an item, else a container
// that others packed.
func (s *Service) candidate(ctx context.Context, c *Container, n name, at *Container) (one candidate, _ error) {
	one.text = n.text
	if at != nil && at.State != Discarded {
		one.Child = Child{Key: ssccAI + n.sscc, EPC: at.EPC}
		switch {
		case at.SSCC == c.SSCC:
			one.why = ErrChildItself
		case at.State != Closed:
			one.why = ErrChildOpen
		case at.Kind == Pallet:
			one.why = ErrChildKind
		}
		return one, nil
	}
	if n.sscc == "" || n.code != "" {
		it, ok, err := s.Items.Find(ctx, n.text)
		if err != nil {
			return one, err
		}
		if ok {
			one.Child = Child{Key: it.Code, EPC: it.EPC, Serial: it.Serial}
			if it.Brand != c.Brand {
				one.why = ErrChildForeign
			} else if offMarket(it.State) {
				one.why = ErrChildState.Textf("is %s", it.State)
			}
			return one, nil
		}
	}
	if n.sscc != "" {
		holds, err := s.Events.Holds(ctx, c.Brand, linkOf(n.sscc))
		if err != nil {
			return one, err
		}
		if holds {
			one.Child = Child{Key: ssccAI + n.sscc, EPC: linkOf(n.sscc)}
			return one, nil
		}
	}
	one.why = ErrChildUnknown
	return one, nil
}

// offMarket are the states of what nobody packs for sale.
func offMarket(d gs1.Disposition) bool {
	switch d {
	case gs1.Recalled, gs1.Stolen, gs1.Damaged, gs1.NoPedigreeMatch, gs1.Destroyed, gs1.Disposed, gs1.Expired, gs1.Void:
		return true
	default:
		return false
	}
}
