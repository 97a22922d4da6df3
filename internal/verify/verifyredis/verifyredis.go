// Package verifyredis counts the scans that all processes see of an item, in Redis.
//
// Promise: a scan is counted once, whatever becomes of the answer: each has an id, and
// asking again with it tells the same. Exactly one scan of an item is its first. Nobody
// waits longer than the budget of redisdb. Redis is never the only place that knows: an
// item that is not here is loaded from the summary first, and Raise brings back what was
// lost, so that the counts converge on the truth (TestAgainstModel, TestTwoProcesses,
// TestEmptied).
//
// All keys of an item are in one of 64 slots, named by the serial. An item's key lives
// for a time after its last scan.
package verifyredis

import (
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/redisdb"
	"github.com/chopmark/chopmark/internal/verify"
	"github.com/chopmark/chopmark/internal/verify/verifyevent"
)

const (
	// DefaultLife is how long an item is kept after its last scan.
	DefaultLife = 7 * 24 * time.Hour

	slots   = 64
	tries   = 2   // with one id, when the connection breaks
	perCall = 500 // items that Raise sends at once

	// What count.lua answers with, in this order.
	replyFields = 10
	counted     = 1
	absent      = 0
	behind      = -1 // Redis knows less than this process does
	uncertain   = -2 // asked again, and it cannot be told whether the first time counted

	firstTime, onceMore = "0", "1"
)

// Summary tells what is known for good of an item's scans: all of its sightings that
// were consumed. ok is false for an item without any.
type Summary interface {
	Tally(ctx context.Context, s ids.Serial) (sum verify.Sum, ok bool, err error)
}

// Options are what an operator may choose.
type Options struct {
	Life time.Duration // 0 = DefaultLife
}

// Counts implements verify.Shared.
type Counts struct {
	db      *redisdb.DB
	summary Summary
	life    string // milliseconds
	count   *rueidis.Lua
	raise   *rueidis.Lua
	process string // part of every operation's id
	ops     atomic.Uint64
}

var _ verify.Shared = (*Counts)(nil)

//go:embed sum.lua
var sumScript string

//go:embed count.lua
var countScript string

//go:embed raise.lua
var raiseScript string

// New counts in db what summary has the truth of.
func New(db *redisdb.DB, summary Summary, o Options) *Counts {
	if o.Life <= 0 {
		o.Life = DefaultLife
	}
	id := make([]byte, 9)
	_, _ = rand.Read(id) // never fails; it ends the program instead
	return &Counts{
		db: db, summary: summary, life: strconv.FormatInt(o.Life.Milliseconds(), 10),
		count: rueidis.NewLuaScript(sumScript + countScript), raise: rueidis.NewLuaScriptNoSha(sumScript + raiseScript),
		process: base64.RawURLEncoding.EncodeToString(id),
	}
}

func key(s ids.Serial) string {
	b := append(make([]byte, 0, 40), "chopmark:{s"...)
	n := uint64(s) % slots
	b = append(b, byte('0'+n/10), byte('0'+n%10), '}', ':')
	return string(strconv.AppendUint(b, uint64(s), 10))
}

// Count implements verify.Shared.
func (c *Counts) Count(s *verify.Sighting, own verify.Sum) (verify.Sum, verifyevent.What, error) {
	args := []string{
		c.process + strconv.FormatUint(c.ops.Add(1), 36), strconv.FormatInt(s.At.UnixMicro(), 10), strconv.FormatUint(s.Device>>32, 10),
		encodePlace(s.Place), c.life, strconv.FormatInt(own.Count, 10), firstTime,
	}
	var got reply // not read when Guard gives up: whoever still works for it may write it
	err := c.db.Guard(func(ctx context.Context) error {
		r, err := c.ask(ctx, s.Item.Serial, args)
		if err == nil && r.status != counted {
			r, err = c.askKnowing(ctx, s.Item.Serial, args, r.status, own)
		}
		if err == nil {
			got = r
		}
		return err
	})
	if errors.Is(err, redisdb.ErrNotAsked) {
		err = verify.ErrNotAsked
	}
	if err != nil {
		return verify.Sum{}, 0, err
	}
	what := got.what
	if !what.Has(verifyevent.First) && verify.Far(got.before, s.Place, time.Duration(max(got.since, -got.since))*time.Microsecond) {
		what |= verifyevent.Far
	}
	return got.sum, what, nil
}

// askKnowing counts an item that Redis does not know, or knows less of than others do.
func (c *Counts) askKnowing(ctx context.Context, s ids.Serial, args []string, status int64, own verify.Sum) (reply, error) {
	if status == absent {
		if err := c.addSummary(ctx, s, &own); err != nil {
			return reply{}, err
		}
	}
	r, err := c.ask(ctx, s, appendSum(args, &own))
	if err == nil && r.status != counted {
		err = redisdb.Else(errors.New("the script that counts scans answers nonsense"))
	}
	return r, err
}

func (c *Counts) addSummary(ctx context.Context, s ids.Serial, sum *verify.Sum) error {
	more, ok, err := c.summary.Tally(ctx, s)
	if err != nil {
		return redisdb.Else(fmt.Errorf("load the summary of an item: %w", err))
	}
	if ok {
		sum.Raise(&more)
	}
	return nil
}

// ask runs the script, and again when the connection broke: the answer may be all that was lost, and by
// the id in args the script finds it. Where it cannot tell any more, nothing is counted again.
func (c *Counts) ask(ctx context.Context, s ids.Serial, args []string) (r reply, err error) {
	keys := []string{key(s)}
	at, _ := strconv.ParseInt(args[1], 10, 64)
	for n := range tries {
		if n > 0 {
			args = slices.Clone(args)
			args[6] = onceMore
		}
		if r, err = parseReply(c.count.Exec(ctx, c.db.Client, keys, args), at); err == nil || ctx.Err() != nil {
			break
		}
		if _, refused := rueidis.IsRedisErr(err); refused {
			break
		}
	}
	if err == nil && r.status == uncertain {
		err = errUncertain
	}
	return r, err
}

var errUncertain = redisdb.Else(errors.New("whether a scan was counted is not known any more"))

// Look implements verify.Shared.
func (c *Counts) Look(s ids.Serial, own verify.Sum) (verify.Sum, error) {
	var got verify.Sum // as in Count
	err := c.db.Guard(func(ctx context.Context) error {
		h, err := c.db.Do(ctx, c.db.B().Hmget().Key(key(s)).Field("c", "s", "f", "fi", "l", "li").Build()).ToArray()
		if err != nil {
			return err
		}
		if len(h) != 6 {
			return redisdb.Else(errors.New("HMGET answers nonsense"))
		}
		sum := own
		if h[0].IsNil() {
			err = c.addSummary(ctx, s, &sum)
		} else {
			sum, err = parseSum(h)
			if sum.Count < own.Count {
				sum.Raise(&own)
			}
		}
		if err == nil {
			got = sum
		}
		return err
	})
	return got, err
}

// Raised is an item and what the summary knows of it.
type Raised struct {
	Serial ids.Serial
	Sum    verify.Sum
}

// Raise brings the counts up to what the summary knows. Whoever adds to the summary
// calls it after the commit, with every item of the batch, also those that were not new
// to it, and takes the batch for not consumed when it fails: then the counts are right
// as soon as everything was consumed, whatever became of Redis meanwhile.
func (c *Counts) Raise(ctx context.Context, items ...Raised) error {
	for len(items) > 0 {
		part := items[:min(len(items), perCall)]
		items = items[len(part):]
		calls := make([]rueidis.LuaExec, len(part))
		for i := range part {
			calls[i] = rueidis.LuaExec{Keys: []string{key(part[i].Serial)}, Args: appendSum(nil, &part[i].Sum)}
		}
		for _, r := range c.raise.ExecMulti(ctx, c.db.Client, calls...) {
			if err := r.Error(); err != nil {
				return redisdb.ErrUnavailable.Because(fmt.Errorf("raise counts of scans: %w", err))
			}
		}
	}
	return nil
}
