package scansql_test

import (
	"bytes"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"context"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/scan"
	"github.com/chopmark/chopmark/internal/scan/scansql"
	"github.com/chopmark/chopmark/internal/scan/scantest"
	"github.com/chopmark/chopmark/internal/verify/verifyevent"
)

func openAt(t testing.TB, dir string, codes scan.Codes, now *time.Time) *scansql.Engine {
	t.Helper()
	e, err := scansql.Open(context.Background(), scansql.Config{Dir: dir, Wrap: [32]byte{3}}, codes,
		clock.Func(func() time.Time { return *now }), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func engineOf(e *scansql.Engine, now *time.Time) scantest.Engine {
	return scantest.Engine{
		Records: e.Records, Statistics: e.Statistics, Policies: e.Vault,
		Forget:    func(ctx context.Context) error { _, err := e.Vault.Forget(ctx); return err },
		CloseDays: func(ctx context.Context) error { return e.Records.CloseDays(ctx, *now) },
		DropDays:  e.Records.DropDays, Fold: e.Statistics.FoldNow, Prune: e.Statistics.Prune, Split: scansql.Split,
	}
}

func TestSuite(t *testing.T) {
	t.Parallel()
	scantest.Suite(t, func(t *testing.T, now *time.Time) scantest.Engine {
		return engineOf(openAt(t, t.TempDir(), scantest.Codes{}, now), now)
	})
}

// everyByte reads all files under a directory.
func everyByte(t *testing.T, dir string) (all []byte) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		all = append(all, raw...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestForgottenAddressesAreGone looks for addresses, and for the keys that would open
// them, in every byte of every file.
func TestForgottenAddressesAreGone(t *testing.T) {
	t.Parallel()
	dir, now := t.TempDir(), scantest.Start()
	e := openAt(t, dir, scantest.Codes{}, &now)
	log := scantest.NewLog()
	ips := []netip.Addr{netip.MustParseAddr("203.0.113.77"), netip.MustParseAddr("2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff")}
	for i := range 200 {
		log.Scan(verifyevent.Sighting{Serial: ids.Serial(i), At: now.UnixMicro(), Brand: ids.BrandID(1001 + i%5), Product: 1, No: 1, Verdict: scantest.Authentic, IP: ips[i%2]})
	}
	log.Flush()
	scantest.Consume(t, scan.GroupRecords, e.Records, scansql.Split, log.Records)
	scantest.Consume(t, scan.GroupStatistics, e.Statistics, scansql.Split, log.Records)
	wrapped := e.WrappedKeys(t)
	if len(wrapped) != 5 {
		t.Fatalf("%d keys, want one for each brand", len(wrapped))
	}
	before := everyByte(t, dir)
	for _, k := range wrapped {
		if !bytes.Contains(before, k) {
			t.Fatal("a key is not found while it is there: the search would prove nothing")
		}
	}
	now = now.AddDate(0, 0, 31)
	if n, err := e.Vault.Forget(t.Context()); err != nil || n != 5 {
		t.Fatalf("forgot %d keys, %v", n, err)
	}
	after := everyByte(t, dir)
	for _, k := range wrapped {
		if bytes.Contains(after, k) {
			t.Error("a key that was deleted still is in a file")
		}
	}
	for _, ip := range ips {
		for name, form := range map[string][]byte{"text": []byte(ip.String()), "bytes": ip.AsSlice()} {
			if bytes.Contains(before, form) || bytes.Contains(after, form) {
				t.Errorf("address %s is in a file as %s", ip, name)
			}
		}
	}
}
