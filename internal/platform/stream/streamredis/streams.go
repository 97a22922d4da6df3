// Package streamredis lets groups in many processes consume the logs of many processes,
// by streams of Redis.
//
// Promise: what a process appended to its own log (streamkv) reaches every group at least
// once, whatever becomes of Redis: a record leaves that log only when every group has
// acknowledged it, and is shipped again when Redis has lost it. It is in its stream once:
// its id is its position, so Redis itself refuses it the second time. Positions are
// unique over all producers (TestShippedOnce, TestEmptied, TestFailover, TestTwoProducers).
//
// Each producer has a stream of its own, and all of its keys are in one slot: streams are
// spread over a Cluster, and what one node has lost it has lost from the end. A letter
// lies in the slot of its record for the same reason.
package streamredis

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/redisdb"
	"github.com/chopmark/chopmark/internal/platform/stream"
)

const (
	callTimeout    = 5 * time.Second
	producersEvery = 500 * time.Millisecond
	pollMin        = 2 * time.Millisecond
	pollMax        = 100 * time.Millisecond
	nobody         = "*" // holds what a consumer gave back; no consumer and no producer is called so
	noOwner        = "*" // has the letters of records whose producer is not known
	usualCap       = 1 << 30
	usualSettle    = 3 * time.Second
	usualCheck     = 500 * time.Millisecond
)

// Options are what an owner may choose.
type Options struct {
	// Name tells these streams from others in the same Redis: lower-case letters, digits,
	// dash and underscore.
	Name string
	// Groups is everybody who must have acknowledged a record before it leaves its log,
	// beside the groups that a stream has already.
	Groups []string
	// CapBytes is how much of a producer's stream may wait in Redis for the slowest group
	// (0 = 1 GB); the rest waits in its own log, whose cap is the one that takes away.
	CapBytes int64
	// Settle is how long acknowledgements must have stood before a producer acts on them:
	// longer than Redis takes to write its append-only file (0 = 3 s). CheckEvery is how
	// often it looks (0 = 500 ms).
	Settle, CheckEvery time.Duration
	Clock              clock.Clock // nil = the machine's
	Log                *slog.Logger
}

// Streams are the streams of all producers under a name. They are safe for concurrent use.
type Streams struct {
	db *redisdb.DB
	o  Options

	closing chan struct{} // closed by Close

	mu        sync.Mutex
	groups    map[string]*Group   // guarded by mu
	producers []string            // guarded by mu
	listed    time.Time           // guarded by mu: when producers was read; zero = it must be
	owners    map[uint32]string   // guarded by mu: the producer of a generation
	shippers  map[string]*shipper // guarded by mu: of this process, by producer
	ended     bool                // guarded by mu

	fetching sync.WaitGroup // Close waits for them before it gives back what they hold
}

var (
	_ stream.Group   = (*Group)(nil)
	_ stream.Letters = (*Streams)(nil)
)

// The scripts, each of one slot.
var (
	//go:embed ship.lua
	shipText string
	//go:embed fetch.lua
	fetchText string
	//go:embed release.lua
	releaseText string
	//go:embed lag.lua
	lagText string
	//go:embed through.lua
	throughText string
	//go:embed passed.lua
	passedText string
	//go:embed generation.lua
	generationText string
	//go:embed claim.lua
	claimText string
	//go:embed bury.lua
	buryText string

	shipScript       = rueidis.NewLuaScriptNoSha(shipText) // sent in pipelines, in which no call can be made again
	fetchScript      = rueidis.NewLuaScript(fetchText)
	releaseScript    = rueidis.NewLuaScript(releaseText)
	lagScript        = rueidis.NewLuaScript(lagText)
	throughScript    = rueidis.NewLuaScript(throughText)
	passedScript     = rueidis.NewLuaScript(passedText)
	generationScript = rueidis.NewLuaScript(generationText)
	claimScript      = rueidis.NewLuaScript(claimText)
	buryScript       = rueidis.NewLuaScript(buryText)
)

// Open gives the streams of a name in db, which the owner closes after them.
func Open(db *redisdb.DB, o Options) (*Streams, error) {
	for _, name := range append([]string{o.Name}, o.Groups...) {
		if err := stream.CheckGroup(name); err != nil {
			return nil, err
		}
	}
	if o.CapBytes <= 0 {
		o.CapBytes = usualCap
	}
	if o.Settle == 0 {
		o.Settle = usualSettle
	}
	if o.CheckEvery == 0 {
		o.CheckEvery = usualCheck
	}
	if o.Clock == nil {
		o.Clock = clock.System{}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Streams{db: db, o: o, closing: make(chan struct{}), groups: map[string]*Group{}, owners: map[uint32]string{}, shippers: map[string]*shipper{}}, nil
}

// Generation hands out a generation to a producer that none ever had, and that is
// greater than after: for streamkv.Options.Generation. When Redis was emptied it knows
// only what after and running producers tell it, so after should be no less than what
// consumers know (inbox.Highest); a number that comes twice all the same is found before
// anything of it is shipped.
func (s *Streams) Generation(ctx context.Context, producer string, after uint32) (uint32, error) {
	if err := stream.CheckGroup(producer); err != nil {
		return 0, err
	}
	if err := s.begins(ctx, producer); err != nil {
		return 0, err
	}
	n, err := s.exec(ctx, generationScript, []string{s.generationsKey()}, producer, strconv.FormatUint(uint64(after), 10)).AsInt64()
	if err != nil {
		return 0, fmt.Errorf("get a generation for %s: %w", producer, err)
	}
	if n > int64(stream.GenerationMax) {
		return 0, errors.New("streamredis: all generations are used up")
	}
	return uint32(n), nil
}

// Close ends waiting Fetch calls with stream.ErrClosed and gives back what consumers of
// this process hold. Who ships must have ended, and what was shipped gets no more records.
func (s *Streams) Close() error {
	s.mu.Lock()
	ended := s.ended
	s.ended = true
	groups := make([]*Group, 0, len(s.groups))
	for _, g := range s.groups {
		groups = append(groups, g)
	}
	shippers := maps.Clone(s.shippers)
	s.mu.Unlock()
	if ended {
		return nil
	}
	close(s.closing)
	s.fetching.Wait()
	var err error
	for _, g := range groups {
		err = errors.Join(err, g.release())
	}
	for producer, sh := range shippers {
		err = errors.Join(err, s.settled(producer, sh))
	}
	return err
}

// enter notes a call that lets a consumer hold records; fetching.Done ends it.
func (s *Streams) enter() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return stream.ErrClosed
	}
	s.fetching.Add(1)
	return nil
}

func (s *Streams) closed() bool {
	select {
	case <-s.closing:
		return true
	default:
		return false
	}
}

func (s *Streams) producersKey() string   { return "chopmark:{" + s.o.Name + "}:producers" }
func (s *Streams) generationsKey() string { return "chopmark:{" + s.o.Name + "}:generations" }

// key is one of a producer's; all of them are in one slot.
func (s *Streams) key(producer, what string) string {
	return "chopmark:" + s.o.Name + ":{" + producer + "}:" + what
}

func (s *Streams) recordsKey(producer string) string { return s.key(producer, "records") }
func (s *Streams) stateKey(producer string) string   { return s.key(producer, "state") }

// exec runs a script. A caller that goes away does not end it: what it gives must reach
// somebody.
func (s *Streams) exec(ctx context.Context, script *rueidis.Lua, keys []string, args ...string) rueidis.RedisResult {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	return script.Exec(ctx, s.db.Client, keys, args)
}

func (s *Streams) do(ctx context.Context, cmd rueidis.Completed) rueidis.RedisResult {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	return s.db.Do(ctx, cmd)
}

// recent gives the producers as they were a moment ago: who asks comes again.
func (s *Streams) recent(ctx context.Context) ([]string, error) {
	s.mu.Lock()
	names, age := s.producers, time.Since(s.listed)
	s.mu.Unlock()
	if age < producersEvery {
		return names, nil
	}
	return s.list(ctx)
}

// list gives the producers.
func (s *Streams) list(ctx context.Context) ([]string, error) {
	names, err := s.do(ctx, s.db.B().Smembers().Key(s.producersKey()).Build()).AsStrSlice()
	if err != nil {
		return nil, fmt.Errorf("list producers of %s: %w", s.o.Name, err)
	}
	slices.Sort(names)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.producers, s.listed = names, time.Now()
	return names, nil
}

// owner is the producer of a generation; noOwner = not known.
func (s *Streams) owner(ctx context.Context, generation uint32) (string, error) {
	s.mu.Lock()
	name, ok := s.owners[generation]
	s.mu.Unlock()
	if ok {
		return name, nil
	}
	name, err := s.do(ctx, s.db.B().Hget().Key(s.generationsKey()).Field(strconv.FormatUint(uint64(generation), 10)).Build()).ToString()
	switch {
	case rueidis.IsRedisNil(err):
		return noOwner, nil
	case err != nil:
		return "", fmt.Errorf("find the producer of generation %d: %w", generation, err)
	}
	s.own(generation, name)
	return name, nil
}

func (s *Streams) own(generation uint32, producer string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.owners[generation] = producer
}

// parsePosition is the reverse of Position.String.
func parsePosition(id string) (stream.Position, error) {
	generation, seq, _ := strings.Cut(id, "-")
	g, err1 := strconv.ParseUint(generation, 10, 32)
	n, err2 := strconv.ParseUint(seq, 10, 64)
	if err := errors.Join(err1, err2); err != nil || g > uint64(stream.GenerationMax) || n > stream.SeqMax {
		return 0, fmt.Errorf("streamredis: %q is no position", id)
	}
	return stream.At(uint32(g), n), nil
}
