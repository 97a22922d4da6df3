package verifykv

import (
	"encoding/binary"
	"errors"
	"flag"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/chopmark/chopmark/internal/platform/kvdb"
	"github.com/chopmark/chopmark/internal/verify/verifyevent"
)

var (
	fillDir   = flag.String("fill", "", "a log of sightings of a stopped server, for BenchmarkFill")
	fillFrom  = flag.Uint64("fill-from", 0, "the first serial that BenchmarkFill gives a count")
	fillItems = flag.Int64("fill-items", 1_000_000, "how many serials it gives one")
)

// BenchmarkFill writes a count for each of many items, as if each had been scanned
// once: test/bench measures a server that has as many to look after. Without -fill it
// writes into a directory of its own.
func BenchmarkFill(b *testing.B) {
	for range b.N {
		dir := *fillDir
		if dir == "" {
			dir = b.TempDir()
			mustClose(b, mustOpen(b, dir, Options{}, usual))
		}
		if err := fill(dir); err != nil {
			b.Fatal(err)
		}
	}
}

func fill(dir string) error {
	db, err := kvdb.Open(dir+"/"+dirTallies, kvdb.Options{CacheBytes: 8 << 20, MemTableBytes: 64 << 20, NoWAL: true, Scattered: true, Log: quiet()})
	if err != nil {
		return err
	}
	at := time.Now().Add(-48 * time.Hour).UnixMicro()
	key, room := countKey(0), [tallyBytesMax]byte{}
	for n := int64(0); n < *fillItems && err == nil; {
		batch := db.NewBatch()
		for range min(100_000, *fillItems-n) {
			var t tally
			t.Add(at+n, uint64(n)*0x9E3779B97F4A7C15, 0, nil, nil)
			t.last = verifyevent.Ref{At: 1<<40 | uint64(n/100), N: uint16(n % 100)}
			binary.BigEndian.PutUint64(key[1:], *fillFrom+uint64(n))
			if err = batch.Set(key, appendTally(room[:0], &t), nil); err != nil {
				break
			}
			n++
		}
		err = errors.Join(err, batch.Commit(pebble.NoSync), batch.Close())
	}
	return errors.Join(err, db.Flush(), db.Close())
}
