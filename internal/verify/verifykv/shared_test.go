package verifykv

import (
	"errors"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/verify"
	"github.com/chopmark/chopmark/internal/verify/verifyevent"
)

// far is what others know, far away: it answers when it is let.
type far struct {
	t   *testing.T
	let chan struct{}
	sum verify.Sum
}

func (f *far) Count(*verify.Sighting, verify.Sum) (verify.Sum, verifyevent.What, error) {
	f.t.Error("it was asked to count")
	return verify.Sum{}, 0, errors.New("not asked for")
}

func (f *far) Look(ids.Serial, verify.Sum) (verify.Sum, error) {
	<-f.let
	return f.sum, nil
}

// TestNobodyWaits: scans are answered at once as far as is known here, and what others know
// is in the next answer.
func TestNobodyWaits(t *testing.T) {
	t.Parallel()
	others := &far{t: t, let: make(chan struct{}), sum: verify.Sum{Count: 14, Sessions: 9, FirstAt: 1, LastAt: 2}}
	l := mustOpen(t, "log", Options{FS: vfs.NewMem(), Shared: others, Behind: true}, idle)
	defer mustClose(t, l)
	for n := range int64(3) {
		if seen, err := l.Record(sighting(7, 1001+n)); err != nil || seen.Count != n+1 || !seen.Partial || seen.What.Has(verifyevent.Shared) {
			t.Fatalf("scan %d while nobody answers: %+v, %v", n+1, seen, err)
		}
	}
	if seen, err := l.Seen(7); err != nil || seen.Count != 3 || !seen.Partial {
		t.Fatalf("a look while nobody answers: %+v, %v", seen, err)
	}
	close(others.let)
	for until := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		seen, err := l.Seen(7)
		if err == nil && seen.Count == 14 && seen.Sessions == 9 && seen.FirstAt.UnixMicro() == 1 && seen.LastAt.UnixMicro() == 1003 {
			break
		}
		if time.Now().After(until) {
			t.Fatalf("what others know does not come: %+v, %v", seen, err)
		}
	}
	if seen, err := l.Record(sighting(7, 2000)); err != nil || seen.Count != 15 || !seen.Partial {
		t.Errorf("the next scan: %+v, %v", seen, err)
	}
}
