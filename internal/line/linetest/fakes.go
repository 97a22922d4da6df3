// Package linetest holds the suite that every store of packing lines must pass, small models
// of them, and fakes of what the domain wants of others.
package linetest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/line"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

// Start is when the suite begins.
func Start() time.Time { return time.Date(2026, 3, 1, 8, 30, 15, 123456000, time.UTC) }

// Code is the code of a brand's n-th item.
func Code(brand ids.BrandID, n int) string { return fmt.Sprintf("7%09d%08d", brand, n) }

// SSCC is the n-th of a company.
func SSCC(n int) string {
	digits := fmt.Sprintf("04012345%09d", n)
	return digits + string(gs1.CheckDigit(digits))
}

// Items are the coded items of brands 1 to 99: as many as there are of Code.
type Items struct {
	mu     sync.Mutex
	states map[string]gs1.Disposition // guarded by mu; of those that are not active
}

var _ line.Items = (*Items)(nil)

var errNoBrand = fault.New(fault.NotFound, "brand.unknown", "no such brand")

// HasBrand implements line.Items.
func (*Items) HasBrand(ctx context.Context, id ids.BrandID) error {
	if id < 1 || id > 99 || !ids.ScopeOf(ctx).Has(id) {
		return errNoBrand
	}
	return nil
}

// Find implements line.Items.
func (i *Items) Find(ctx context.Context, name string) (it line.Item, ok bool, _ error) {
	code := name[max(0, len(name)-18):]
	if len(code) != 18 || code[0] != '7' {
		return it, false, nil
	}
	brand, err := strconv.Atoi(code[1:10])
	n, err2 := strconv.ParseUint(code[10:], 10, 64)
	if err := errors.Join(err, err2); err != nil || brand < 1 || brand > 99 || !ids.ScopeOf(ctx).Has(ids.BrandID(brand)) {
		return it, false, nil
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	return line.Item{
		Serial: ids.Serial(n), Brand: ids.BrandID(brand), Code: code, EPC: "https://id.gs1.org/01/04012345111118/21/" + code,
		State: cmp.Or(i.states[code], gs1.Active),
	}, true, nil
}

// Move gives an item a state.
func (i *Items) Move(code string, to gs1.Disposition) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.states == nil {
		i.states = map[string]gs1.Disposition{}
	}
	i.states[code] = to
}

// packed is a child of a brand.
type packed struct {
	brand ids.BrandID
	epc   string
}

// Events is a repository in memory. It fails when it is told to, before or after it has
// captured.
type Events struct {
	mu       sync.Mutex
	captured map[string][]string // guarded by mu; by what names the event, its children
	parents  map[packed]string   // guarded by mu
	twice    []string            // guarded by mu; events of one container that are not the same
	of       map[packed]string   // guarded by mu; the event of a container
	fails    []Failure           // guarded by mu; of the next captures
}

// Failure is how a capture fails.
type Failure int

// The failures.
const (
	NoFailure Failure = iota
	Before            // nothing was captured
	After             // it was captured, but nobody is told
)

var (
	_       line.Events = (*Events)(nil)
	errLost             = errors.New("the repository does not answer")
)

// NewEvents makes an empty repository.
func NewEvents() *Events {
	return &Events{captured: map[string][]string{}, parents: map[packed]string{}, of: map[packed]string{}}
}

// Fail lets the next captures fail so.
func (e *Events) Fail(how ...Failure) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.fails = how
}

// ErrBadPlace is what Check says of the place "bad".
var ErrBadPlace = fault.Field("trace.bad_event", "bizLocation", "is bad")

// Check implements line.Events.
func (e *Events) Check(p line.Packing) error {
	if p.Location == "bad" {
		return ErrBadPlace
	}
	return nil
}

// Pack implements line.Events. An event is the same when all that it says is the same.
func (e *Events) Pack(_ context.Context, p line.Packing) (string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	how := NoFailure
	if len(e.fails) > 0 {
		how, e.fails = e.fails[0], e.fails[1:]
	}
	if how == Before {
		return "", errLost
	}
	var children []string
	for _, c := range p.Children {
		children = append(children, c.EPC)
	}
	id := fmt.Sprintf("%d %s %d %s %s %d %s", p.Brand, p.EPC, p.ClosedAt.UnixMilli(), p.Location, p.ReadPoint, len(children), strings.Join(children, " "))
	self := packed{p.Brand, p.SSCC}
	if was := e.of[self]; was != "" && was != id {
		e.twice = append(e.twice, was+"\n"+id)
	}
	e.of[self], e.captured[id] = id, children
	for _, epc := range children {
		e.parents[packed{p.Brand, epc}] = p.EPC
	}
	if how == After {
		return "", errLost
	}
	return id[:min(len(id), 60)], nil
}

// Parents implements line.Events.
func (e *Events) Parents(_ context.Context, brand ids.BrandID, children []line.Child) (map[string]string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := map[string]string{}
	for _, c := range children {
		if p := e.parents[packed{brand, c.EPC}]; p != "" {
			out[c.Key] = p
		}
	}
	return out, nil
}

// Holds implements line.Events.
func (e *Events) Holds(_ context.Context, brand ids.BrandID, epc string) (bool, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for child, p := range e.parents {
		if child.brand == brand && p == epc {
			return true, nil
		}
	}
	return false, nil
}

// Unpack is what others capture: a thing is in nothing any more.
func (e *Events) Unpack(brand ids.BrandID, epc string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.parents, packed{brand, epc})
}

// Put is what others capture: a thing is in another.
func (e *Events) Put(brand ids.BrandID, epc, parent string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.parents[packed{brand, epc}] = parent
}

// Of gives the children that the event of a container names, sorted, and whether it has one.
func (e *Events) Of(brand ids.BrandID, sscc string) ([]string, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	id, ok := e.of[packed{brand, sscc}]
	children := slices.Clone(e.captured[id])
	slices.Sort(children)
	return children, ok
}

// Twice gives the events of containers that have more than one.
func (e *Events) Twice() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.twice)
}

// Count is how many events were captured.
func (e *Events) Count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.captured)
}
