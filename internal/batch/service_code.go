package batch

import (
	"context"
	"slices"
	"time"

	"github.com/chopmark/chopmark/internal/codebook"
	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
)

// CodeView is one item as an operator sees it.
type CodeView struct {
	Code    string
	Batch   Batch
	No      int64
	State   gs1.Disposition
	Expired bool
	Extra   Extra
	Note    Note // of the change that gave it its state; zero when it never changed
}

// ViewCode tells what is known of an item.
func (r *Reader) ViewCode(ctx context.Context, code string) (CodeView, error) {
	serial, item, err := r.Find(ctx, code)
	if err != nil {
		return CodeView{}, err
	}
	v := CodeView{Code: code, Batch: *item.Batch, No: item.No, State: item.State, Expired: item.Batch.Expired(r.clock.Now())}
	if v.Extra, err = r.proj.Extra(serial, item); err != nil {
		return CodeView{}, err
	}
	v.Note, _, err = r.proj.Note(serial, item)
	return v, err
}

// Link is the present token link of an item.
type Link struct {
	URL     string
	Token   codebook.Token
	Version uint16
	EndsAt  time.Time // when the next epoch begins; zero = this link does not rotate
}

// Link makes the present token link of a code.
func (r *Reader) Link(ctx context.Context, code string) (Link, error) {
	serial, item, err := r.Find(ctx, code)
	if err != nil {
		return Link{}, err
	}
	return r.LinkOf(serial, item)
}

// LinkOf makes the present token link of an item that was looked up.
func (r *Reader) LinkOf(serial ids.Serial, item Item) (Link, error) {
	extra, err := r.proj.Extra(serial, item)
	if err != nil {
		return Link{}, err
	}
	b := item.Batch
	epoch := codebook.Epoch(r.clock.Now(), b.CreatedAt, b.RotateEvery)
	l := Link{Version: extra.Version}
	if l.Token, err = r.keys.Token(serial, extra.Version, periodSeconds(b.RotateEvery), epoch); err != nil {
		return Link{}, err
	}
	if b.RotateEvery > 0 {
		l.EndsAt = codebook.EpochStart(b.CreatedAt, b.RotateEvery, epoch+1)
	}
	origin := r.url
	if b.Mark == Display {
		origin = upperOrigin(origin)
	}
	l.URL = origin + "/" + r.items.Code(serial).String() + "/" + l.Token.String()
	return l, nil
}

// MarkText is what an item's QR code says: the permanent link of a print batch, signed
// where the labels are and the caller may see the brand; the present token link of a display
// batch, whose code is not known to who may not see the brand.
func (r *Reader) MarkText(may ids.Scope, code string) (string, error) {
	serial, item, err := r.Resolve(code)
	switch {
	case err != nil:
		return "", err
	case item.Batch.SignatureKeyID != "" && may.Has(item.Batch.BrandID):
		signer, err := item.Batch.signer(r.keys)
		if err != nil {
			return "", err
		}
		return string(appendSignature([]byte(upperOrigin(r.url)+"/"+code), signer, r.items.Code(serial))), nil
	case item.Batch.Mark != Display:
		return r.url + "/" + code, nil
	case !may.Has(item.Batch.BrandID):
		return "", ErrUnknownCode
	}
	l, err := r.LinkOf(serial, item)
	return l.URL, err
}

// periodSeconds is the rotation period as tokens carry it.
func periodSeconds(d time.Duration) uint32 { return uint32(d / time.Second) }

// HistoryStep is one thing that happened to an item.
type HistoryStep struct {
	ChangeID ids.ChangeID
	Seq      int64
	Kind     string // a state, "reissued" or "inner_code_checked"
	At       time.Time
	Happened time.Time // as the caller said; zero = not said
	Place    string
	Reason   string
	Actor    string
	Reverts  ids.ChangeID
	Version  uint16
	Event    string // the event that says so; "" = somebody's act
	Illegal  string // why it moved nothing; "" = it did, or the item was there already
}

// CodeHistory lists what happened to an item, oldest first.
func (s *Service) CodeHistory(ctx context.Context, code string) ([]HistoryStep, error) {
	serial, item, err := s.Find(ctx, code)
	if err != nil {
		return nil, err
	}
	changes, entries, err := s.store.ItemHistory(ctx, item.Batch.First, item.No, serial)
	if err != nil {
		return nil, err
	}
	steps := make([]HistoryStep, 0, len(changes)+len(entries))
	steps = append(steps, s.lived(&item, changes)...)
	for _, e := range entries {
		step := HistoryStep{ChangeID: e.Item.ID, Seq: e.Seq, At: e.At, Reason: e.Item.Reason, Actor: e.Item.Actor, Version: e.Item.Version}
		step.Kind = "reissued"
		if e.Kind == InnerChecked {
			step.Kind, step.Version = "inner_code_checked", 0
		}
		steps = append(steps, step)
	}
	slices.SortStableFunc(steps, func(a, b HistoryStep) int { return a.At.Compare(b.At) })
	return steps, nil
}

// lived is what was asked of an item, in the order of the fold. What somebody was refused is
// left out: he was told, and nothing happened.
func (s *Service) lived(item *Item, history []Change) (out []HistoryStep) {
	f := folding{table: s.table, steps: stepsOf(item.Batch.First, history)}
	f.each(Runs{{item.No, item.No}}, func(_ Run, active []int) {
		f.run(active)
		was := FirstState
		for k, i := range active {
			c, now := f.steps[i].Change, f.states[k]
			step := HistoryStep{
				ChangeID: c.ID, Seq: c.Seq, Kind: now.String(), At: c.Effective, Happened: c.At, Place: c.Place,
				Reason: c.Reason, Actor: c.Actor, Reverts: c.Reverts, Event: c.Event,
			}
			if f.fates[k] == refused && c.To != 0 {
				step.Kind, step.Illegal = c.To.String(), illegal(was, c.To)
			}
			was = now
			if f.fates[k] != refused && f.fates[k] != undone || c.Event != "" || c.gave(item.Batch.First, item.No) {
				out = append(out, step)
			}
		}
	})
	return out
}

// gave reports that a change did something to a number when it was committed.
func (c *Change) gave(batch ids.Serial, no int64) bool {
	return slices.ContainsFunc(c.Covers, func(v Cover) bool { return v.Batch == batch && v.Numbers.Contains(no) })
}

// illegal says why a step moved nothing.
func illegal(was, to gs1.Disposition) string {
	if was == to {
		return "it was " + was.String() + " already, by another event"
	}
	return "what is " + was.String() + " does not become " + to.String()
}

// TryInner counts a try of an item's inner code and keeps the first right one for
// every later answer. A try that is asked again under its request counts once.
func (s *Service) TryInner(ctx context.Context, r ids.Request, serial ids.Serial, right bool, triesMax int) (InnerRecord, error) {
	item, ok := s.proj.Lookup(serial)
	if !ok {
		return InnerRecord{}, ErrUnknownCode
	}
	b := item.Batch
	rec, err := s.store.TryInner(ctx, r, ItemChange{
		ID: ids.ChangeID(ids.NewIn(serial.Shard(), "chg")), Batch: b.First, Serial: serial, Version: 1, Actor: "public", Reason: "inner code checked",
	}, b.BrandID, right, triesMax)
	if err != nil || !right {
		return rec, err
	}
	return rec, s.catchUp(ctx, b.Shard())
}
