package argon_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/crypto/argon2"

	"github.com/chopmark/chopmark/internal/platform/argon"
)

const asChild = "ARGON_TEST_SERVES"

// The test program is its own child: -test.run names nothing, and the flag below is read first.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == asChild {
		if err := argon.Serve(os.Stdin, os.Stdout); err != nil {
			panic(err)
		}
		return
	}
	m.Run()
}

// cheap derives by a, and says what is right.
func cheap(a *argon.Aside, password string) (got, want []byte, err error) {
	salt := []byte("salt of 16 bytes")
	got, err = a.Derive([]byte(password), salt, 1, 64, 1, 32)
	return got, argon2.IDKey([]byte(password), salt, 1, 64, 1, 32), err
}

func aside(t *testing.T) *argon.Aside {
	t.Helper()
	a := argon.NewAside([]string{os.Args[0], asChild}, 2, slog.New(slog.DiscardHandler))
	t.Cleanup(func() { _ = a.Close() })
	return a
}

func TestAsideDerivesWhatHereDoes(t *testing.T) {
	a := aside(t)
	var all sync.WaitGroup
	for i := range 100 {
		all.Go(func() {
			got, want, err := cheap(a, "password "+strconv.Itoa(i))
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d: %x, %v; want %x", i, got, err, want)
			}
		})
	}
	all.Wait()
}

// children are the processes that this one started.
func children(t *testing.T) (pids []int) {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range all {
		stat, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended since
		}
		var pid, parent int
		var state string
		// The second field, the name, is in parentheses and may hold anything.
		_, rest, _ := strings.Cut(string(stat), ") ")
		if _, err := fmt.Sscan(rest, &state, &parent); err == nil && parent == os.Getpid() {
			_, _ = fmt.Sscan(string(stat), &pid)
			pids = append(pids, pid)
		}
	}
	return pids
}

func TestAsideIsLessUrgentAndComesBack(t *testing.T) {
	a := aside(t)
	if _, _, err := cheap(a, "one"); err != nil {
		t.Fatal(err)
	}
	first := children(t)
	if len(first) != 1 {
		t.Fatalf("%d processes derive, want one", len(first))
	}
	// The kernel counts 20 - nice.
	if prio, err := syscall.Getpriority(syscall.PRIO_PROCESS, first[0]); err != nil || prio != 20-19 {
		t.Errorf("it has priority %d, %v; want 1, which is nice 19", prio, err)
	}
	if err := syscall.Kill(first[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if got, want, err := cheap(a, "two"); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("after a kill: %x, %v; want %x", got, err, want)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if left := children(t); len(left) != 0 {
		t.Errorf("%d processes are left after the end", len(left))
	}
	if _, _, err := cheap(a, "three"); err == nil {
		t.Error("it derives after its end")
	}
}

func TestAsideDerivesHereWhereNothingStarts(t *testing.T) {
	a := argon.NewAside([]string{"/nowhere/chopmark"}, 1, slog.New(slog.DiscardHandler))
	if got, want, err := cheap(a, "one"); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%x, %v; want %x", got, err, want)
	}
}
