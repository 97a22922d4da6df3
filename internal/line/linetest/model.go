package linetest

import (
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/line"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

const (
	modelItems      = 8
	modelContainers = 4
)

// act is one thing that a line does.
type act struct {
	do       string
	at       int // the container, by number
	children []int
	fail     Failure // of the capture
}

func drawAct(rt *rapid.T) act {
	a := act{
		do: rapid.SampledFrom([]string{"open", "add", "add", "add", "remove", "close", "discard", "finish"}).Draw(rt, "do"),
		at: rapid.IntRange(0, modelContainers-1).Draw(rt, "at"),
	}
	if a.do == "add" || a.do == "remove" {
		a.children = rapid.SliceOfN(rapid.IntRange(0, modelItems-1), 1, 4).Draw(rt, "children")
	}
	if a.do == "close" || a.do == "finish" {
		a.fail = rapid.SampledFrom([]Failure{NoFailure, NoFailure, Before, After}).Draw(rt, "fail")
	}
	return a
}

// lines is a world of one brand's containers; each run of a model has its own.
type lines struct {
	*World
	t     *testing.T
	brand ids.BrandID
	base  int
}

func (l *lines) sscc(n int) string { return SSCC(l.base + n) }
func (l *lines) code(n int) string { return Code(l.brand, l.base+n) }
func (l *lines) epc(n int) string {
	return "https://id.gs1.org/01/04012345111118/21/" + l.code(n)
}

func (l *lines) codes(all []int) (out []string) {
	for _, n := range all {
		out = append(out, l.code(n))
	}
	return out
}

// run does it.
func (l *lines) run(a act) error {
	ctx, at := l.t.Context(), l.sscc(a.at)
	var err error
	switch a.do {
	case "open":
		_, _, err = l.Open(ctx, ids.Request{}, line.Opening{Brand: l.brand, Kind: line.Case, EPC: at, Capacity: modelItems / 2})
	case "add":
		_, _, _, err = l.Add(ctx, ids.Request{}, l.brand, at, l.codes(a.children))
	case "remove":
		_, _, _, err = l.Remove(ctx, ids.Request{}, l.brand, at, l.codes(a.children))
	case "close":
		_, err = l.Close(ctx, l.brand, at)
	case "discard":
		_, _, err = l.Discard(ctx, ids.Request{}, l.brand, at)
	case "finish":
		for range 3 {
			l.tick()
		}
		_, err = l.Finish(ctx)
	}
	return err
}

// state is what the model knows of a container.
type state struct {
	line.State
	children []int
	event    []int
}

// model is what lines do, in a few lines. An event that is captured counts at once.
type model [modelContainers]state

func (m *model) where(child int) (open, packed int) {
	open, packed = -1, -1
	for i, s := range m {
		if (s.State == line.Open || s.State == line.Closing) && slices.Contains(s.children, child) {
			open = i
		}
		if slices.Contains(s.event, child) {
			packed = i
		}
	}
	return open, packed
}

func (m *model) run(a act) (want error) {
	s := &m[a.at]
	switch a.do {
	case "open":
		switch s.State {
		case line.Open:
			return line.ErrOpen
		case line.Closing, line.Closed:
			return line.ErrClosed
		case "", line.Discarded:
			*s = state{State: line.Open}
		}
	case "add":
		return m.add(s, a)
	case "remove":
		if s.State != line.Open {
			return m.not(s)
		}
		s.children = slices.DeleteFunc(s.children, func(n int) bool { return slices.Contains(a.children, n) })
	case "close":
		switch {
		case s.State == line.Open && len(s.children) == 0:
			return line.ErrEmpty
		case s.State == line.Closed:
			return nil
		case s.State != line.Open && s.State != line.Closing:
			return m.not(s)
		}
		s.State = line.Closing
		return s.capture(a.fail)
	case "discard":
		if s.State != line.Open && s.State != line.Discarded {
			return m.not(s)
		}
		*s = state{State: line.Discarded}
	case "finish":
		return nil // see oneByOne
	}
	return nil
}

// not is why nothing is done with a container that is not open.
func (*model) not(s *state) error {
	if s.State == "" {
		return line.ErrUnknown
	}
	return line.ErrNotOpen
}

func (s *state) capture(fail Failure) error {
	if fail != Before {
		s.event = slices.Clone(s.children)
	}
	if fail != NoFailure {
		return errLost
	}
	s.State = line.Closed
	return nil
}

func (m *model) add(s *state, a act) error {
	if s.State != line.Open {
		return m.not(s)
	}
	sorted := slices.Clone(a.children)
	slices.Sort(sorted)
	if len(slices.Compact(sorted)) < len(a.children) {
		return line.ErrChildRepeated
	}
	var fresh []int
	for _, n := range a.children {
		open, packed := m.where(n)
		switch {
		case open >= 0 && &m[open] == s:
			continue
		case open >= 0:
			return line.ErrChildInOpen
		case packed >= 0:
			return line.ErrChildPacked
		}
		fresh = append(fresh, n)
	}
	if len(s.children)+len(fresh) > modelItems/2 {
		return line.ErrCapacity
	}
	s.children = append(s.children, fresh...)
	return nil
}

// RunModel does random things and wants what the model says of each.
func RunModel(t *testing.T, engine Engine) {
	w, n := NewWorld(engine), 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		l := &lines{w, t, ids.BrandID(1 + n%20), 100 * n}
		var m model
		for range rapid.IntRange(1, 25).Draw(rt, "acts") {
			l.oneByOne(rt, &m, drawAct(rt))
		}
		l.settle(rt)
	})
}

func (l *lines) oneByOne(rt *rapid.T, m *model, a act) {
	l.Events.Fail(a.fail)
	var want error
	if a.do == "finish" { // the oldest first; how it fails is told to the first of them
		l.Events.Fail()
		for i := range m {
			if m[i].State == line.Closing {
				_ = m[i].capture(NoFailure) // it does not fail
			}
		}
	} else {
		want = m.run(a)
	}
	if err := l.run(a); !errors.Is(err, want) || want == nil && err != nil {
		rt.Fatalf("%+v: %v, want %v", a, err, want)
	}
	l.Events.Fail()
	for i, s := range m {
		c, err := l.Find(l.t.Context(), l.brand, l.sscc(i))
		if s.State == "" {
			if !errors.Is(err, line.ErrUnknown) {
				rt.Fatalf("after %+v: %+v, %v", a, c, err)
			}
			continue
		}
		want := l.codes(s.children)
		slices.Sort(want)
		if got := l.inside(rt, &c); err != nil || c.State != s.State || c.Children != len(want) || !slices.Equal(want, got) {
			rt.Fatalf("after %+v: %+v has %v, %v; want %s of %v", a, c, got, err, s.State, want)
		}
		var named []string
		for _, n := range s.event {
			named = append(named, l.epc(n))
		}
		slices.Sort(named)
		if event, _ := l.Events.Of(l.brand, l.sscc(i)); !slices.Equal(named, event) {
			rt.Fatalf("after %+v: the event of %d names %v, want %v", a, i, event, named)
		}
	}
}

func (l *lines) inside(rt *rapid.T, c *line.Container) (keys []string) {
	children, err := l.Children(l.t.Context(), c)
	if err != nil {
		rt.Fatal(err)
	}
	for _, child := range children {
		keys = append(keys, child.Key)
	}
	return keys
}

// settle finishes all that was closed, and holds the end to what lines promise: each closed
// container has one event, which names what is in it, and each child is in one container.
func (l *lines) settle(rt *rapid.T) {
	l.Events.Fail()
	if err := l.run(act{do: "finish"}); err != nil {
		rt.Fatal(err)
	}
	at := map[string]string{}
	for i := range modelContainers {
		c, err := l.Find(l.t.Context(), l.brand, l.sscc(i))
		event, has := l.Events.Of(l.brand, l.sscc(i))
		if errors.Is(err, line.ErrUnknown) {
			continue
		}
		if err != nil || c.State == line.Closing || has != (c.State == line.Closed) {
			rt.Fatalf("%+v, %v; an event: %v", c, err, has)
		}
		keys := l.inside(rt, &c)
		var named []string
		for _, key := range keys {
			if at[key] != "" {
				rt.Fatalf("%s is in %s and in %s", key, at[key], c.SSCC)
			}
			at[key] = c.SSCC
			named = append(named, "https://id.gs1.org/01/04012345111118/21/"+key)
		}
		if has && !cmp.Equal(named, event) {
			rt.Fatalf("%s holds %v, and its event says %v", c.SSCC, named, event)
		}
		if len(keys) != c.Children {
			rt.Fatalf("%+v holds %d", c, len(keys))
		}
	}
	if twice := l.Events.Twice(); len(twice) > 0 {
		rt.Fatalf("two events of one container: %v", twice)
	}
}

// RunAtOnce lets several lines do random things at once, each through an engine of its own,
// and holds the end to what lines promise.
func RunAtOnce(t *testing.T, engines ...Engine) {
	first, n := NewWorld(engines[0]), 0
	worlds := []*World{first}
	for _, engine := range engines[1:] {
		w := NewWorld(engine)
		w.Service.Deps.Events, w.Events = first.Events, first.Events
		worlds = append(worlds, w)
	}
	rapid.Check(t, func(rt *rapid.T) {
		n++
		at := &lines{first, t, ids.BrandID(1 + n%20), 100 * n}
		const atOnce = 3
		var acts [atOnce][]act
		for i := range acts {
			acts[i] = rapid.SliceOfN(rapid.Custom(drawAct), 5, 15).Draw(rt, "acts")
		}
		for i := range modelContainers { // so that something comes of it
			_ = at.run(act{do: "open", at: i}) // it is new
		}
		at.Events.Fail()
		var all sync.WaitGroup
		for i := range acts {
			all.Go(func() {
				l := &lines{worlds[i%len(worlds)], t, at.brand, at.base}
				for _, a := range acts[i] {
					if a.fail != NoFailure {
						l.Events.Fail(a.fail)
					}
					if err := l.run(a); err != nil && fault.KindOf(err) == fault.Internal && !errors.Is(err, errLost) {
						t.Errorf("%+v: %v", a, err)
					}
				}
			})
		}
		all.Wait()
		at.settle(rt)
	})
}
