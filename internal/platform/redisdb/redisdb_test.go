package redisdb

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chopmark/chopmark/test/servers"
)

func TestURL(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct {
		hosts  []string
		master string
		pass   string
		db     int
		tls    bool
	}{
		"redis://h:1":                             {hosts: []string{"h:1"}},
		"redis://:p%40ss@h:1/3":                   {hosts: []string{"h:1"}, pass: "p@ss", db: 3},
		"rediss://u:p@h:1/0":                      {hosts: []string{"h:1"}, pass: "p", tls: true},
		"redis+sentinel://a:1,b:2/main":           {hosts: []string{"a:1", "b:2"}, master: "main"},
		"redis+cluster://:p@a:1,b:2,[::1]:3":      {hosts: []string{"a:1", "b:2", "[::1]:3"}, pass: "p"},
		"rediss+cluster://:a/b@c@a:1,127.0.0.1:2": {hosts: []string{"a:1", "127.0.0.1:2"}, pass: "a/b@c", tls: true},
	} {
		o, err := parse(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if diff := cmp.Diff(want.hosts, o.InitAddress); diff != "" || o.Sentinel.MasterSet != want.master || o.Password != want.pass ||
			o.SelectDB != want.db || (o.TLSConfig != nil) != want.tls {
			t.Errorf("%s: %+v", text, o)
		}
	}
	for _, text := range []string{
		"", "http://h:1", "redis://:sesame@h", "redis://:sesame@h:1/x", "redis://:sesame@a:1,b:2/0", "redis+sentinel://:sesame@a:1",
		"redis+cluster://:sesame@a:1/0", "redis+other://:sesame@a:1", "redis://:sesame%zz@h:1", "redis://:sesame@:1", "redis://:sesame@h:1/-1",
	} {
		if _, err := parse(text); err == nil || strings.Contains(err.Error(), "sesame") {
			t.Errorf("%q: %v", text, err)
		}
	}
	_, err := Open(t.Context(), Config{URL: "redis://:sesame@127.0.0.1:1/0"})
	if err == nil || strings.Contains(err.Error(), "sesame") {
		t.Errorf("nobody is there: %v", err)
	}
}

func TestChecks(t *testing.T) {
	t.Parallel()
	safe := map[string]string{"redis_version": "7.0.15", "maxmemory_policy": "noeviction", "maxmemory": "0", "aof_enabled": "1"}
	for _, c := range []struct{ field, value, unsafe, unknown string }{
		{"redis_version", "6.2.1", "version 6.2.1", ""},
		{"redis_version", "10.1.0", "", ""},
		{"redis_version", "", "", "its version"},
		{"maxmemory_policy", "", "", "its eviction policy"},
		{"maxmemory_policy", "allkeys-lru", "", ""}, // without a limit nothing is evicted
		{"aof_enabled", "0", "no append-only file", ""},
		{"aof_enabled", "", "", "append-only file"},
	} {
		info := maps.Clone(safe)
		info[c.field] = c.value
		unsafe, unknown := judge(info)
		if (c.unsafe == "") != (len(unsafe) == 0) || !strings.Contains(strings.Join(unsafe, ";"), c.unsafe) ||
			(c.unknown == "") != (len(unknown) == 0) || !strings.Contains(strings.Join(unknown, ";"), c.unknown) {
			t.Errorf("%s=%s: unsafe %q, unknown %q", c.field, c.value, unsafe, unknown)
		}
	}
}

// What a real server says is understood, and each unsafe setting is refused by name.
func TestUnsafeServers(t *testing.T) {
	t.Parallel()
	s := servers.Redis(t)
	command := func(args ...string) {
		t.Helper()
		if text, err := s.Command(args...); err != nil || text != "+OK" {
			t.Fatalf("%v: %s, %v", args, text, err)
		}
	}
	open := func(allow bool) (string, error) {
		var log bytes.Buffer
		d, err := Open(t.Context(), Config{URL: s.URL(), AllowUnsafe: allow, Log: slog.New(slog.NewTextHandler(&log, nil))})
		if err == nil {
			d.Close()
		}
		return log.String(), err
	}
	if log, err := open(false); err != nil || log != "" {
		t.Errorf("a safe server: %v, %s", err, log)
	}
	command("CONFIG", "SET", "maxmemory", "100mb")
	command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
	command("CONFIG", "SET", "appendonly", "no")
	_, err := open(false)
	for _, want := range []string{"evicts (maxmemory-policy allkeys-lru)", "set maxmemory-policy noeviction", "set appendonly yes", "--allow-unsafe"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %q", err, want)
		}
	}
	if log, err := open(true); err != nil || strings.Count(log, "UNSAFE") != 2 {
		t.Errorf("allowed: %v, %s", err, log)
	}
}

func open(t *testing.T, url string) *DB {
	t.Helper()
	d, err := Open(t.Context(), Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

// TestStalled lets a server stand still: nobody waits longer than the budget, then
// nobody waits at all, and when it goes on it is asked again.
func TestStalled(t *testing.T) {
	t.Parallel()
	s := servers.Redis(t)
	d := open(t, s.URL())
	ping := func() (time.Duration, error) {
		start := time.Now()
		err := d.Guard(func(ctx context.Context) error { return d.Do(ctx, d.B().Ping().Build()).Error() })
		return time.Since(start), err
	}
	if _, err := ping(); err != nil {
		t.Fatal(err)
	}
	if err := s.Pause(); err != nil {
		t.Fatal(err)
	}
	var waited []time.Duration
	for stopped := time.Now(); time.Since(stopped) < 2*time.Second; {
		took, err := ping()
		if !errors.Is(err, ErrUnavailable) {
			t.Fatalf("a server that stands still: %v", err)
		}
		waited = append(waited, took)
	}
	if d.Answering() {
		t.Error("the breaker is closed")
	}
	slices.Sort(waited)
	if most, half := waited[len(waited)-1], waited[len(waited)/2]; most > 5*DefaultBudget || half > DefaultBudget/5 {
		t.Errorf("the longest of %d tries waited %v, half of them %v", len(waited), most, half)
	}
	if err := s.Resume(); err != nil {
		t.Fatal(err)
	}
	for resumed := time.Now(); ; {
		if _, err := ping(); err == nil {
			t.Logf("asked again %v after it went on; %d tries while it stood still", time.Since(resumed), len(waited))
			break
		}
		if time.Since(resumed) > 20*time.Second {
			t.Fatal("the server is not asked again")
		}
	}
	s.Kill()
	if _, err := ping(); !errors.Is(err, ErrUnavailable) {
		t.Errorf("a dead server: %v", err)
	}
}

// What Redis refuses, and what fails beside it, says nothing against Redis.
func TestRefusalsDoNotOpenTheBreaker(t *testing.T) {
	t.Parallel()
	d := open(t, servers.Redis(t).URL())
	other := errors.New("another store")
	for range 3 * failuresToOpen {
		err := d.Guard(func(ctx context.Context) error { return d.Do(ctx, d.B().Arbitrary("NONSENSE").Build()).Error() })
		if err == nil || errors.Is(err, ErrUnavailable) {
			t.Fatalf("a refusal: %v", err)
		}
		if err := d.Guard(func(context.Context) error { return Else(other) }); !errors.Is(err, other) {
			t.Fatalf("another's failure: %v", err)
		}
	}
	if !d.Answering() {
		t.Error("the breaker is open")
	}
}

func TestConnectionsAreCounted(t *testing.T) {
	t.Parallel()
	s := servers.Redis(t)
	d := open(t, s.URL())
	if n := d.Connections()[s.Addr]; n < 1 {
		t.Errorf("%d connections are open", n)
	}
	d.Close()
	for until := time.Now().Add(10 * time.Second); d.Connections()[s.Addr] != 0; {
		if time.Now().After(until) {
			t.Fatalf("after closing: %v", d.Connections())
		}
	}
}

func TestClusterAndSentinel(t *testing.T) {
	t.Parallel()
	url, _ := servers.RedisCluster(t, 0)
	for _, url := range []string{url, servers.RedisSentinel(t).URL} {
		d := open(t, url)
		for _, key := range []string{"a", "b", "c", "d"} {
			if err := d.Do(t.Context(), d.B().Set().Key(key).Value("v").Build()).Error(); err != nil {
				t.Errorf("%s: %v", url, err)
			}
		}
	}
}
