package verifykv

import (
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/verify"
	"github.com/chopmark/chopmark/internal/verify/verifyevent"
)

// far is one item's count far away: it answers when it is let.
type far struct {
	let   chan struct{}
	mu    sync.Mutex
	count int64 // guarded by mu
}

func (f *far) Count(s *verify.Sighting, own verify.Sum) (verify.Sum, verifyevent.What, error) {
	<-f.let
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count = max(f.count, own.Count) + 1
	at := s.At.UnixMicro()
	return verify.Sum{Count: f.count, Sessions: f.count, FirstAt: 1, LastAt: at}, 0, nil
}

func (f *far) Look(ids.Serial, verify.Sum) (verify.Sum, error) {
	<-f.let
	f.mu.Lock()
	defer f.mu.Unlock()
	return verify.Sum{Count: f.count, Sessions: f.count, FirstAt: 1, LastAt: 1}, nil
}

func (f *far) counted() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.count
}

func (f *far) add(n int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count += n
}

// until asks again and again for what comes without telling.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(what, "does not come")
		}
	}
}

// TestNobodyWaits: scans are answered at once as far as is known here, are counted once
// beside the others' all the same, and what came too late is known at the next.
func TestNobodyWaits(t *testing.T) {
	t.Parallel()
	others := &far{let: make(chan struct{})}
	l := mustOpen(t, "log", Options{FS: vfs.NewMem(), Shared: others, Wait: -1}, idle)
	defer mustClose(t, l)
	scan := func(n int64) {
		t.Helper()
		if seen, err := l.Record(sighting(7, 1000+n)); err != nil || seen.Count != n || !seen.Partial {
			t.Fatalf("scan %d while nobody answers: %+v, %v", n, seen, err)
		}
	}
	for n := range int64(3) {
		scan(n + 1)
	}
	if seen, err := l.Seen(7); err != nil || seen.Count != 3 || !seen.Partial {
		t.Fatalf("a look while nobody answers: %+v, %v", seen, err)
	}
	close(others.let)
	known := func(n int64) func() bool {
		return func() bool { seen, err := l.Seen(7); return err == nil && seen.Count == n && others.counted() == n }
	}
	until(t, "what was counted late", known(3))
	others.add(10) // elsewhere
	if _, err := l.Record(sighting(7, 2000)); err != nil {
		t.Fatal(err)
	}
	until(t, "what others counted", known(14))
	if seen, err := l.Seen(7); err != nil || seen.FirstAt.UnixMicro() != 1 || seen.Sessions != 14 {
		t.Errorf("of what others know: %+v, %v", seen, err)
	}
}

// TestWaitsAsLong: who answers within the wait is heard.
func TestWaitsAsLong(t *testing.T) {
	t.Parallel()
	others := &far{let: make(chan struct{}), count: 10}
	l := mustOpen(t, "log", Options{FS: vfs.NewMem(), Shared: others, Wait: time.Hour}, idle)
	defer mustClose(t, l)
	close(others.let)
	if seen, err := l.Record(sighting(7, 1000)); err != nil || seen.Count != 11 || seen.Partial {
		t.Errorf("a scan: %+v, %v", seen, err)
	}
	if seen, err := l.Seen(7); err != nil || seen.Count != 11 || seen.Partial {
		t.Errorf("a look: %+v, %v", seen, err)
	}
}
