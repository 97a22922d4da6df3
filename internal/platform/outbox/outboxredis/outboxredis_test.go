package outboxredis

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/redisdb"
	"github.com/chopmark/chopmark/test/servers"
)

// process is one that pushes.
type process struct {
	*Push
	heard chan struct{}
	log   *lines
}

// lines is a log that tests look into while it is written.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) count(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), what)
}

// run starts a process and waits until it listens: then it is told to look.
func run(t *testing.T, url string) *process {
	t.Helper()
	log := &lines{}
	db, err := redisdb.Open(t.Context(), redisdb.Config{URL: url, Log: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	p := &process{New(db, slog.New(slog.NewTextHandler(log, nil))), make(chan struct{}, 1000), log}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { p.Run(ctx, func() { p.heard <- struct{}{} }) })
	t.Cleanup(func() { cancel(); running.Wait(); db.Close() })
	p.hears(t)
	return p
}

func (p *process) hears(t *testing.T) {
	t.Helper()
	select {
	case <-p.heard:
	case <-time.After(30 * time.Second):
		t.Fatal("nothing was heard")
	}
}

// knows waits until a process knows of a commit.
func (p *process) knows(t *testing.T, shard ids.Shard, seq int64) {
	t.Helper()
	for p.known[shard].Load() != seq {
		p.hears(t)
	}
}

// TestPush lets processes commit: the others hear of it, each commit once, and who
// committed does not hear of his own. On one server and on a Cluster, where any server
// passes on what another was told.
func TestPush(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(*testing.T) string{
		"one server": func(t *testing.T) string { return servers.Redis(t).URL() },
		"cluster": func(t *testing.T) string {
			url, _ := servers.RedisCluster(t, 0)
			return url
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := start(t)
			a, b := run(t, url), run(t, url)
			a.Committed(3, 7)
			b.knows(t, 3, 7)
			a.Committed(3, 6) // two commits may be told in the other order
			b.Committed(15, 1)
			a.knows(t, 15, 1)
			b.Committed(3, 8)
			a.knows(t, 3, 8)
			a.Committed(3, 9)
			b.knows(t, 3, 9)
			if a.own[3].Load() != 9 || b.own[3].Load() != 8 {
				t.Errorf("own commits: %d and %d", a.own[3].Load(), b.own[3].Load())
			}
			if len(a.heard) > 0 || len(b.heard) > 0 {
				t.Errorf("heard of what they knew: %d and %d", len(a.heard), len(b.heard))
			}
		})
	}
}

// TestLostMessages kills the server: what is committed meanwhile is not told, and whoever
// comes back looks for himself.
func TestLostMessages(t *testing.T) {
	t.Parallel()
	redis := servers.Redis(t)
	a, b := run(t, redis.URL()), run(t, redis.URL())
	redis.Kill()
	for a.log.count("not heard of at once") == 0 || b.log.count("not heard of at once") == 0 {
		time.Sleep(time.Millisecond) // the log tells nobody
	}
	a.Committed(0, 1)
	if err := redis.Restart(); err != nil {
		t.Fatal(err)
	}
	b.hears(t) // though nothing was told
	for a.redis.Answering() == false {
		_ = a.redis.Guard(func(ctx context.Context) error { return a.redis.Do(ctx, a.redis.B().Ping().Build()).Error() })
	}
	a.Committed(0, 2)
	b.knows(t, 0, 2)
	if n := b.log.count("at once again"); n != 1 {
		t.Errorf("said %d times that it hears again", n)
	}
}

// TestForeignMessages: what is no word of ours is a call to look, and no more.
func TestForeignMessages(t *testing.T) {
	t.Parallel()
	redis := servers.Redis(t)
	p := run(t, redis.URL())
	for _, message := range []string{"", "x", "16:1", "3", "3:x", "-1:1", "3:99999999999999999999", strings.Repeat("9", 1000)} {
		if _, err := redis.Command("PUBLISH", "chopmark:commits:3", message); err != nil {
			t.Fatal(err)
		}
		p.hears(t)
	}
	for shard := range p.known {
		if at := p.known[shard].Load(); at != 0 {
			t.Errorf("shard %d is known up to %d", shard, at)
		}
	}
}
