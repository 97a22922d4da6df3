// Package limitredis lets processes hold strangers to their limits together, in Redis.
//
// Promise: nobody waits for Redis. Each process decides by what it knows, tells the
// others a tenth of a second later what was drawn, and hears what is drawn in all. What
// was told is counted once, whatever becomes of the answer (TestLostAnswer). While Redis
// is away each process limits alone (TestAway).
//
// An account's time is the server's. All that an account has is under one key, which
// lives about as long as something is drawn on it.
package limitredis

import (
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/base64"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"github.com/chopmark/chopmark/internal/platform/limit"
	"github.com/chopmark/chopmark/internal/platform/redisdb"
)

const (
	// Every is how often a process tells and hears.
	Every = 100 * time.Millisecond

	toldMax = 10_000 // accounts that wait to be told of; further ones are counted here alone
	atOnce  = 500    // accounts that one call tells of
	slots   = 64     // of a Cluster
)

//go:embed add.lua
var addScript string

// Peers implements limit.Peers.
type Peers struct {
	db      *redisdb.DB
	heard   func(limit.Key, time.Duration)
	add     *rueidis.Lua
	process string // part of every operation's id
	ops     uint64 // used by Run alone

	mu    sync.Mutex
	drawn map[limit.Key]draw // what was not told yet; guarded by mu

	unsure []told // what was told and not answered; used by Run alone
}

type draw struct {
	rate limit.Rate
	n    int64
}

// told is a draw under the name that it keeps until it is answered.
type told struct {
	key limit.Key
	draw
	op string
}

var _ limit.Peers = (*Peers)(nil)

// New tells other processes through db; heard takes what is drawn in all.
func New(db *redisdb.DB, heard func(k limit.Key, used time.Duration)) *Peers {
	id := make([]byte, 9)
	rand.Read(id) // never fails: crypto/rand ends the process first
	return &Peers{
		db: db, heard: heard, add: rueidis.NewLuaScript(addScript), process: base64.RawURLEncoding.EncodeToString(id), drawn: map[limit.Key]draw{},
	}
}

// Tell implements limit.Peers.
func (p *Peers) Tell(k limit.Key, r limit.Rate, n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if d, ok := p.drawn[k]; ok || len(p.drawn) < toldMax {
		p.drawn[k] = draw{r, d.n + n}
	}
}

// Run tells and hears until ctx ends.
func (p *Peers) Run(ctx context.Context) {
	tick := time.NewTicker(Every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			p.exchange()
		case <-ctx.Done():
			return
		}
	}
}

// exchange tells what was drawn, first what was not answered the last time. What cannot
// be told waits for the next time.
func (p *Peers) exchange() {
	for {
		if len(p.unsure) == 0 {
			p.unsure = p.next()
		}
		if len(p.unsure) == 0 {
			return
		}
		used, _, err := p.send(p.unsure)
		if err != nil {
			return // redisdb speaks of it
		}
		for i, t := range p.unsure {
			p.heard(t.key, used[i])
		}
		p.unsure = nil
	}
}

// next names some of what was drawn.
func (p *Peers) next() (some []told) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for k, d := range p.drawn {
		if len(some) == atOnce {
			break
		}
		p.ops++
		some = append(some, told{k, d, p.process + strconv.FormatUint(p.ops, 36)})
		delete(p.drawn, k)
	}
	return some
}

var errNonsense = redisdb.Else(errors.New("the script of limits answers nonsense"))

// send draws on the shared accounts, and gives how much is drawn on each then, and when
// that was by the server's clock, in microseconds.
func (p *Peers) send(all []told) (used []time.Duration, at []int64, _ error) {
	calls := make([]rueidis.LuaExec, len(all))
	micros := func(d time.Duration) string { return strconv.FormatInt(d.Microseconds(), 10) }
	for i, t := range all {
		calls[i] = rueidis.LuaExec{
			Keys: []string{"chopmark:{l" + strconv.FormatUint(t.key.Net%slots, 10) + "}:" + t.key.String()},
			Args: []string{t.op, micros(t.rate.Every), micros(time.Duration(t.rate.Burst) * t.rate.Every), strconv.FormatInt(t.n, 10)},
		}
	}
	type standing struct {
		used []time.Duration
		at   []int64
	}
	answer := make(chan standing, 1) // not read when Guard gives up
	err := p.db.Guard(func(ctx context.Context) error {
		var s standing
		for _, r := range p.add.ExecMulti(ctx, p.db.Client, calls...) {
			m, err := r.AsIntSlice()
			if err != nil {
				return err
			}
			if len(m) != 2 {
				return errNonsense
			}
			s.used, s.at = append(s.used, time.Duration(m[0])*time.Microsecond), append(s.at, m[1])
		}
		answer <- s
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	s := <-answer
	return s.used, s.at, nil
}
