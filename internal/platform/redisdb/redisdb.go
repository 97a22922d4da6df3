// Package redisdb opens Redis: one server, one that Sentinels watch, or a Cluster.
//
// Promise: a Redis that could lose or forget what it was told (one that evicts, has no
// append-only file, or is too old) is refused at the start, with the reason and the fix.
// The client repeats no command by itself. What waits for Redis waits no longer than
// the budget, also when Redis stands still, and not at all while the breaker is open
// (TestStalled). A password is in no error (TestURL).
package redisdb

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"sync"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/redis/rueidis"

	"github.com/chopmark/chopmark/internal/platform/fault"
)

const (
	// DefaultBudget is how long a scan waits for Redis, at most.
	DefaultBudget = 150 * time.Millisecond

	dialTimeout  = 500 * time.Millisecond
	replyTimeout = 2 * time.Second // after it a connection is given up; the seed's read timeout
	// The breaker opens after so many failures in a row, and lets one try through
	// after openFor.
	failuresToOpen = 3
	openFor        = time.Second
)

// ErrUnavailable answers while Redis does not, or is not asked because it did not.
var ErrUnavailable = fault.New(fault.Unavailable, "redis.unavailable", "Redis does not answer")

// Config is what an operator chooses.
type Config struct {
	URL         string
	AllowUnsafe bool          // start with a Redis that may forget, loudly
	Budget      time.Duration // of Guard; 0 = DefaultBudget
	Log         *slog.Logger
}

// DB is an open Redis. It is safe for concurrent use.
type DB struct {
	rueidis.Client

	budget  time.Duration
	breaker circuitbreaker.CircuitBreaker[any]
	conns   *connections
}

// Open connects and holds Redis to what Chopmark needs of it.
func Open(ctx context.Context, c Config) (*DB, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Budget <= 0 {
		c.Budget = DefaultBudget
	}
	option, err := parse(c.URL)
	if err != nil {
		return nil, err
	}
	d := &DB{budget: c.Budget, breaker: newBreaker(c.Log), conns: &connections{open: map[string]int{}}}
	option.Dialer = net.Dialer{Timeout: dialTimeout, KeepAlive: time.Second}
	option.DialCtxFn = d.conns.dial
	option.ConnWriteTimeout = replyTimeout
	option.ClientName = "chopmark"
	option.DisableRetry = true     // a repeated write counts twice; who may repeat has an id and does it himself
	option.DisableCache = true     // nothing here is read so often that it must be kept
	option.AlwaysPipelining = true // a call that gives up early then leaves the connection to others
	if d.Client, err = rueidis.NewClient(option); err != nil {
		return nil, fmt.Errorf("connect to Redis at %v: %w", option.InitAddress, err)
	}
	if err := d.check(ctx, c); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

func newBreaker(log *slog.Logger) circuitbreaker.CircuitBreaker[any] {
	return circuitbreaker.NewBuilder[any]().
		WithFailureThreshold(failuresToOpen).WithDelay(openFor).WithSuccessThreshold(1).
		OnOpen(func(circuitbreaker.StateChangedEvent) {
			log.Error("Redis does not answer: scans are counted by this process alone until it does")
		}).
		OnClose(func(circuitbreaker.StateChangedEvent) { log.Info("Redis answers again") }).
		Build()
}

// ErrNotAsked is the ErrUnavailable of a Guard that did not call fn.
var ErrNotAsked = errors.New("it did not answer lately")

// Guard lets fn ask Redis within the budget. Its error is ErrUnavailable when Redis was
// not reached, did not answer in time, or is not asked because it did not lately (ErrNotAsked); what
// Redis refuses comes as it is. fn must end with its context.
func (d *DB) Guard(fn func(ctx context.Context) error) error {
	if !d.breaker.TryAcquirePermit() {
		return ErrUnavailable.Because(ErrNotAsked)
	}
	ctx, cancel := context.WithTimeout(context.Background(), d.budget)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- fn(ctx) }() // the client waits for a dial longer than for its context
	var err error
	select {
	case err = <-done:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if down(err) {
		d.breaker.RecordFailure()
		return ErrUnavailable.Because(err)
	}
	d.breaker.RecordSuccess()
	return err
}

// Answering reports whether the last tries reached Redis.
func (d *DB) Answering() bool { return d.breaker.IsClosed() }

// down tells an error that says something about Redis from one about a command.
func down(err error) bool {
	var own *elseError
	if err == nil || rueidis.IsRedisNil(err) || errors.As(err, &own) {
		return false
	}
	said, ok := rueidis.IsRedisErr(err)
	if !ok {
		return true
	}
	return said.IsLoading() || said.IsClusterDown() || said.IsTryAgain() || hasPrefix(said.Error(),
		"READONLY", "MASTERDOWN", "MISCONF", "OOM", "BUSY ", "NOREPLICAS")
}

// elseError is an error of something else that was asked beside Redis.
type elseError struct{ error }

func (n *elseError) Unwrap() error { return n.error }

// Else marks an error that says nothing about Redis, for Guard.
func Else(err error) error {
	if err == nil {
		return nil
	}
	return &elseError{err}
}

// Connections gives how many connections are open, by server.
func (d *DB) Connections() map[string]int { return d.conns.counts() }

// connections counts what is open. A server that was once connected to stays in the
// list with 0, so that an alert sees it.
type connections struct {
	mu   sync.Mutex
	open map[string]int // guarded by mu
}

func (c *connections) dial(ctx context.Context, addr string, dialer *net.Dialer, secure *tls.Config) (net.Conn, error) {
	c.add(addr, 0)
	var conn net.Conn
	var err error
	if secure == nil {
		conn, err = dialer.DialContext(ctx, "tcp", addr)
	} else {
		conn, err = (&tls.Dialer{NetDialer: dialer, Config: secure}).DialContext(ctx, "tcp", addr)
	}
	if err != nil {
		return nil, err
	}
	c.add(addr, 1)
	return &counted{Conn: conn, closed: sync.OnceFunc(func() { c.add(addr, -1) })}, nil
}

func (c *connections) add(addr string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open[addr] += n
}

func (c *connections) counts() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.open)
}

type counted struct {
	net.Conn

	closed func()
}

// Close implements net.Conn.
func (c *counted) Close() error {
	c.closed()
	return c.Conn.Close()
}
