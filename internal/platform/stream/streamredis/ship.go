package streamredis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"github.com/chopmark/chopmark/internal/platform/stream"
	"github.com/chopmark/chopmark/internal/platform/stream/streamkv"
)

// GroupShip is the group of a producer's own log that waits for the groups of its stream.
const GroupShip = "ship"

const (
	shipRecords  = 16 // at once
	shipAgain    = 1000
	backoffFrom  = 50 * time.Millisecond
	backoffTo    = 2 * time.Second
	warnAgain    = time.Minute
	noPrev       = "0-0"
	firstOfAHole = "1"
)

// shipper brings a log's records into its producer's stream, and acknowledges them to the
// log when every group of the stream has.
type shipper struct {
	s        *Streams
	producer string
	log      *streamkv.Log
	group    *streamkv.Group
	out      *slog.Logger

	waiting []stream.Record   // given by the log, not in Redis yet
	window  []stream.Position // in Redis, and not acknowledged to the log
	shipped stream.Position   // the last that was in Redis
	claimed map[uint32]bool   // generations that Redis knows as this producer's
	checked time.Time
	bytes   int64 // that the stream has, as far as is known
	noted   struct {
		floor stream.Position
		at    time.Time
	}
	warned time.Time
}

// Ship brings the log of a producer into its stream until ctx ends or the log is closed.
// A producer's name must be of one log, for good. It waits while Redis is away.
func (s *Streams) Ship(ctx context.Context, producer string, log *streamkv.Log) error {
	if err := stream.CheckGroup(producer); err != nil {
		return err
	}
	group, err := log.Group(GroupShip)
	if err != nil {
		return err
	}
	sh := &shipper{
		s: s, producer: producer, log: log, group: group, claimed: map[uint32]bool{},
		out: s.o.Log.With("producer", producer, "streams", s.o.Name),
	}
	s.mu.Lock()
	s.shippers[producer] = sh
	s.mu.Unlock()
	for pause := backoffFrom; ctx.Err() == nil; {
		err := sh.step(ctx)
		if errors.Is(err, stream.ErrClosed) {
			return err
		}
		if err == nil {
			pause = backoffFrom
			continue
		}
		if time.Since(sh.warned) > warnAgain {
			sh.warned = time.Now()
			sh.out.Error("records cannot be shipped to Redis; they stay in the log of this process", "error", err)
		}
		sleep(ctx, pause)
		pause = min(2*pause, backoffTo)
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// step looks after the stream when it is time, and else ships what there is.
func (sh *shipper) step(ctx context.Context) error {
	if due := time.Since(sh.checked) - sh.s.o.CheckEvery; due >= 0 {
		if err := sh.check(ctx); err != nil {
			return err
		}
		sh.checked = time.Now()
	}
	if len(sh.waiting) == 0 {
		wait, cancel := context.WithTimeout(ctx, time.Until(sh.checked.Add(sh.s.o.CheckEvery)))
		defer cancel()
		if sh.bytes > sh.s.o.CapBytes {
			<-wait.Done()
			return nil
		}
		records, err := sh.group.Fetch(wait, GroupShip, shipRecords)
		if err != nil {
			if wait.Err() != nil {
				return nil // nothing came: time to look again
			}
			return err
		}
		sh.waiting = records
	}
	return sh.ship(ctx)
}

// ship sends what waits in one go. When Redis misses something before it, that is sent
// first.
func (sh *shipper) ship(ctx context.Context) error {
	for i := range sh.waiting {
		if err := sh.claim(ctx, sh.waiting[i].At.Generation()); err != nil {
			return err
		}
	}
	calls := make([]rueidis.LuaExec, len(sh.waiting))
	for i, r := range sh.waiting {
		calls[i] = sh.call(r, "0")
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	for _, res := range shipScript.ExecMulti(ctx, sh.s.db.Client, calls...) {
		top, there, err := parseShipped(res)
		if err != nil {
			return err
		}
		r := sh.waiting[0]
		if !there {
			return sh.again(ctx, top, r.At)
		}
		sh.shipped, sh.waiting = r.At, sh.waiting[1:]
		sh.window = append(sh.window, r.At)
		sh.bytes += int64(len(r.Value))
	}
	return nil
}

func (sh *shipper) call(r stream.Record, force string) rueidis.LuaExec {
	// Between generations of one producer lie those of others: there nothing is joined.
	link := r.Prev
	if link.Generation() != r.At.Generation() {
		link = stream.At(r.At.Generation(), 0)
	}
	prev := noPrev
	if r.Prev != 0 {
		prev = r.Prev.String()
	}
	return rueidis.LuaExec{Keys: []string{sh.s.recordsKey(sh.producer), sh.s.stateKey(sh.producer)}, Args: []string{
		r.At.String(), prev, link.String(), strconv.FormatInt(sh.s.o.Clock.Now().UnixMicro(), 10), string(r.Value), force,
	}}
}

func parseShipped(res rueidis.RedisResult) (top stream.Position, there bool, _ error) {
	m, err := res.ToArray()
	if err != nil || len(m) == 0 {
		return 0, false, fmt.Errorf("ship records: %w", errors.Join(err, errors.New("no answer")))
	}
	status, err := m[0].AsInt64()
	if err != nil || status == 1 {
		return 0, true, err
	}
	text, err := m[1].ToString()
	if err != nil {
		return 0, false, err
	}
	top, err = parsePosition(text)
	return top, false, err
}

// again ships what the log has after top, up to a record: Redis lost it, or the log had
// records before it was shipped. What the log does not have any more is passed, or lost
// there, so the first one follows top. So does what every group has acknowledged for long
// enough: a Redis that was emptied need not be told of it again.
func (sh *shipper) again(ctx context.Context, top, upTo stream.Position) error {
	if sh.shipped > top {
		sh.out.Warn("Redis lost records that had been shipped: they are shipped again", "from", top.String(), "to", upTo.String())
	}
	top = max(top, sh.group.Floor())
	force := firstOfAHole
	stop := errors.New("far enough")
	err := sh.log.Read(top, shipAgain, func(r stream.Record) error {
		if r.At > upTo {
			return stop
		}
		if err := sh.claim(ctx, r.At.Generation()); err != nil {
			return err
		}
		call := sh.call(r, force)
		force = "0"
		_, there, err := parseShipped(sh.s.exec(ctx, shipScript, call.Keys, call.Args...))
		if err == nil && !there {
			err = stop // Redis lost something again: begin again
		}
		return err
	})
	if damaged := (*streamkv.DamagedError)(nil); errors.As(err, &damaged) && damaged.At < upTo {
		return sh.again(ctx, damaged.At, upTo) // the log keeps it as a letter
	}
	if errors.Is(err, stop) {
		return nil
	}
	return err
}

// claim has Redis know the producer, and a generation as its own.
func (sh *shipper) claim(ctx context.Context, generation uint32) error {
	if sh.claimed[generation] {
		return nil
	}
	m, err := sh.s.exec(ctx, claimScript, []string{sh.s.producersKey(), sh.s.generationsKey()}, sh.producer, strconv.FormatUint(uint64(generation), 10)).ToArray()
	if err != nil || len(m) != 2 {
		return fmt.Errorf("claim generation %d: %w", generation, errors.Join(err, errors.New("no answer")))
	}
	owner, err := m[1].ToString()
	if err != nil {
		return err
	}
	if owner != sh.producer {
		return fmt.Errorf("generation %d is of producer %s too: Redis had lost that it was given out; start this process again to get another", generation, owner)
	}
	if isNew, err := m[0].AsInt64(); err == nil && isNew == 1 {
		clear(sh.claimed) // Redis was emptied
	}
	sh.claimed[generation] = true
	return nil
}

// check makes groups that are missing, ships again what Redis lost, and has the log and
// the stream let go of what every group has passed for long enough.
func (sh *shipper) check(ctx context.Context) error {
	delete(sh.claimed, sh.log.Generation())
	if err := sh.claim(ctx, sh.log.Generation()); err != nil {
		return err
	}
	lag, err := sh.group.Lag(ctx)
	if err != nil {
		return err
	}
	mark, through := sh.s.markOf(sh.log, sh.group)
	args := append([]string{strconv.FormatInt(lag.Lost, 10), mark, through}, sh.s.o.Groups...)
	m, err := sh.s.exec(ctx, passedScript, []string{sh.s.recordsKey(sh.producer), sh.s.stateKey(sh.producer)}, args...).ToArray()
	if err != nil || len(m) != 3 {
		return fmt.Errorf("look after the stream: %w", errors.Join(err, errors.New("no answer")))
	}
	topText, err1 := m[0].ToString()
	floorText, err2 := m[1].ToString()
	bytes, err3 := m[2].AsInt64()
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	top, err1 := parsePosition(topText)
	floor, err2 := parsePosition(floorText)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	if sh.bytes = bytes; bytes > sh.s.o.CapBytes && time.Since(sh.warned) > warnAgain {
		sh.warned = time.Now()
		sh.out.Warn("a group is far behind: new records wait in the log of this process", "bytes_in_redis", bytes, "cap_bytes", sh.s.o.CapBytes)
	}
	if top < sh.shipped {
		if err := sh.again(ctx, top, sh.shipped); err != nil {
			return err
		}
	}
	return sh.settle(ctx, floor)
}

// settle acts on what has been passed since long enough ago that Redis has it on disk.
func (sh *shipper) settle(ctx context.Context, floor stream.Position) error {
	now := time.Now()
	if sh.noted.at.IsZero() {
		sh.noted.floor, sh.noted.at = floor, now
	}
	if now.Sub(sh.noted.at) < sh.s.o.Settle {
		return nil
	}
	passed := min(sh.noted.floor, floor)
	sh.noted.floor, sh.noted.at = floor, now
	n := 0
	for n < len(sh.window) && sh.window[n] <= passed {
		n++
	}
	if n == 0 {
		return nil
	}
	if err := sh.group.Ack(ctx, sh.window[:n]...); err != nil {
		return err
	}
	sh.window = append([]stream.Position(nil), sh.window[n:]...)
	key := sh.s.recordsKey(sh.producer)
	if err := sh.s.do(ctx, sh.s.db.B().Xtrim().Key(key).Minid().Exact().Threshold((passed + 1).String()).Build()).Error(); err != nil {
		return fmt.Errorf("trim the stream up to %s: %w", passed, err)
	}
	return nil
}
