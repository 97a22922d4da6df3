package batchfile

import (
	"archive/zip"
	"bufio"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/codebook"
	"github.com/chopmark/chopmark/internal/platform/clock"
)

func bareAt(url string, now time.Time) *batch.Service {
	c := clock.Func(func() time.Time { return now })
	return batch.NewService(batch.Config{PublicURL: url}, nil, codebook.NewItems([32]byte{1}), nil, newKeys(), nil, nil, c)
}

// sparse is a file of which only the two ends are there.
type sparse struct {
	head, tail []byte
	tailAt     int64
}

func (s sparse) ReadAt(p []byte, off int64) (int, error) {
	for i := range p {
		switch at := off + int64(i); {
		case at < int64(len(s.head)):
			p[i] = s.head[at]
		case at >= s.tailAt && at < s.tailAt+int64(len(s.tail)):
			p[i] = s.tail[at-s.tailAt]
		case at >= s.tailAt:
			return i, io.EOF
		default:
			p[i] = 0
		}
	}
	return len(p), nil
}

func readFrame(head, tail []byte, packed, size int64) (*zip.Reader, error) {
	return zip.NewReader(sparse{head, tail, int64(len(head)) + packed}, size)
}

func cpuSeconds() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

// residentMB is the most that was ever resident, test binary and all.
func residentMB(b *testing.B) float64 {
	b.Helper()
	f, err := os.Open("/proc/self/status")
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), "VmHWM:"); ok {
			kb, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(rest, "kB")))
			if err != nil {
				b.Fatal(err)
			}
			return float64(kb) / 1024
		}
	}
	b.Fatal("no VmHWM in /proc/self/status")
	return 0
}
