package stream

import (
	"context"
	"fmt"
)

const replayPage = 100

// Replayed is what came of dead letters.
type Replayed struct {
	Consumed int // and forgotten
	Kept     int // failed again, or cannot be read
}

// Replay gives each dead letter of a group to the handler, alone, with Replayed set,
// and forgets it when it was consumed. One that fails is kept with the new reason and
// one more try. It ends early, with the error, when the store of either is out of
// reach. Config must have the lanes of the group's Run: an inbox then tells what was
// consumed after all. It may work beside a Run.
func Replay(ctx context.Context, c Config, group string, letters Letters, split Split, h Handler) (Replayed, error) {
	p := replay{c.withDefaults(group), letters, split, h, Replayed{}}
	for after := ""; ; {
		page, err := letters.Dead(ctx, group, after, replayPage)
		if err != nil {
			return p.sum, fmt.Errorf("list dead letters of %s: %w", group, err)
		}
		for _, m := range page {
			if err := ctx.Err(); err != nil {
				return p.sum, err
			}
			if err := p.one(ctx, m); err != nil {
				return p.sum, fmt.Errorf("replay letter %s: %w", m.ID, err)
			}
			after = m.ID
		}
		if len(page) < replayPage {
			return p.sum, nil
		}
	}
}

type replay struct {
	Config

	letters Letters
	split   Split
	handler Handler
	sum     Replayed
}

func (p *replay) one(ctx context.Context, m Letter) error {
	switch m.N {
	case Unreadable:
		p.sum.Kept++
		return nil
	case WholeRecord:
		return p.whole(ctx, m)
	}
	err := p.try(ctx, Message{At: m.At, N: m.N, Lane: m.Key, Raw: m.Value, Since: m.Since, Until: m.Until})
	if err == nil {
		p.sum.Consumed++
		return p.letters.Discard(ctx, m.ID)
	}
	return p.keep(ctx, m, err)
}

// whole splits a record that could not be split before. Messages that fail become
// letters of their own before the record's letter is forgotten.
func (p *replay) whole(ctx context.Context, m Letter) error {
	rec := Record{At: m.At, Value: m.Value}
	messages, err := safeSplit(p.split, rec)
	if err != nil {
		return p.keep(ctx, m, err)
	}
	for _, one := range messages {
		one.Since, one.Until = one.Place(), one.Place()
		if err := p.try(ctx, one); err != nil {
			if err := p.keep(ctx, Letter{
				ID: LetterID(m.Group, m.At, one.N), Group: m.Group, At: m.At, N: one.N, Key: one.Lane,
				Since: one.Since, Until: one.Until, Value: one.Raw, Tries: m.Tries,
			}, err); err != nil {
				return err
			}
		}
	}
	p.sum.Consumed++
	return p.letters.Discard(ctx, m.ID)
}

func (p *replay) try(ctx context.Context, m Message) error {
	m.Replayed = true
	return guard(ctx, p.Config, p.handler, LaneOf(m.Lane, p.Workers), []Message{m})
}

// keep buries a letter again, with what went wrong this time.
func (p *replay) keep(ctx context.Context, m Letter, why error) error {
	if IsUnavailable(why) || ctx.Err() != nil {
		return why
	}
	p.sum.Kept++
	m.Tries, m.Reason, m.BuriedAt = m.Tries+1, why.Error(), p.Clock.Now()
	p.Log.Warn("a dead letter failed again", "letter", m.ID, "tries", m.Tries, "error", why)
	return p.letters.Bury(ctx, m)
}
