package streamkv

import (
	"bytes"
	"log/slog"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/stream"
	"github.com/chopmark/chopmark/internal/platform/stream/streamtest"
)

func testKey() []byte { return bytes.Repeat([]byte{7}, sealKeyLength) }

// TestGroups holds the engine to the contract: in memory and on disk, sealed and
// plain.
func TestGroups(t *testing.T) {
	t.Parallel()
	t.Run("MemorySealed", func(t *testing.T) {
		t.Parallel()
		streamtest.Groups(t, opener(func(*testing.T) (vfs.FS, string) { return vfs.NewMem(), "log" }, testKey()))
	})
	t.Run("MemoryPlain", func(t *testing.T) {
		t.Parallel()
		streamtest.Groups(t, opener(func(*testing.T) (vfs.FS, string) { return vfs.NewMem(), "log" }, nil))
	})
	t.Run("Disk", func(t *testing.T) {
		t.Parallel()
		streamtest.Groups(t, opener(func(t *testing.T) (vfs.FS, string) { return vfs.Default, t.TempDir() }, testKey()))
	})
}

func opener(place func(*testing.T) (vfs.FS, string), key []byte) streamtest.Open {
	return func(t *testing.T, c clock.Clock) streamtest.Log {
		t.Helper()
		fs, path := place(t)
		s := &suiteLog{path: path}
		s.o = Options{FS: errorfs.Wrap(fs, errorfs.InjectorFunc(s.mayStall)), Key: key, Clock: c, Log: quiet(), TrimEvery: -1}
		if err := s.open(); err != nil {
			t.Fatal(err)
		}
		return s
	}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// suiteLog is a Log in the words of the suite.
type suiteLog struct {
	*Log

	o    Options
	path string
	seq  uint64

	mu    sync.Mutex
	stall chan struct{} // guarded by mu: nothing is synced until it is closed
}

func (s *suiteLog) open() (err error) {
	s.Log, err = Open(s.path, s.o)
	s.seq = 0
	return err
}

func (s *suiteLog) mayStall(op errorfs.Op) error {
	switch op.Kind {
	case errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo:
	default:
		return nil
	}
	s.mu.Lock()
	wait := s.stall
	s.mu.Unlock()
	if wait != nil {
		<-wait
	}
	return nil
}

func (s *suiteLog) Stall() func() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stall = make(chan struct{})
	return func() { close(s.stall) }
}

func (s *suiteLog) Append(value string) (stream.Position, error) {
	s.seq++
	at := stream.At(s.Generation(), s.seq)
	return at, s.Log.Append(at, []byte(value))
}

func (s *suiteLog) Group(name string) (stream.Group, error) { return s.Log.Group(name) }
func (s *suiteLog) Letters() stream.Letters                 { return s.Log }

func (s *suiteLog) Reopen() error {
	if err := s.Close(); err != nil {
		return err
	}
	return s.open()
}
