package ids

import (
	"errors"
	"strings"
	"testing"
)

func TestSerialLayout(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		region int
		shard  Shard
		n      int64
		want   Serial
	}{
		{0, 0, 0, 0}, {0, 0, 1, 1}, {0, 1, 0, 1_000_000_000_000}, {0, 15, 999_999_999_999, 15_999_999_999_999},
		{1, 0, 0, 100_000_000_000_000}, {42, 7, 123, 4_207_000_000_000_123}, {9999, 15, 999_999_999_999, 999_915_999_999_999_999},
	} {
		got, err := NewSerial(c.region, c.shard, c.n)
		if err != nil || got != c.want {
			t.Errorf("NewSerial(%d, %d, %d) = %d, %v; want %d", c.region, c.shard, c.n, got, err, c.want)
		}
		if got.Region() != c.region || got.Shard() != c.shard || got.N() != c.n {
			t.Errorf("%d comes apart as %d, %d, %d", got, got.Region(), got.Shard(), got.N())
		}
	}
	for _, c := range []struct {
		region int
		shard  Shard
		n      int64
	}{{-1, 0, 0}, {10_000, 0, 0}, {0, 16, 0}, {0, 255, 0}, {0, 0, -1}, {0, 0, 1_000_000_000_000}} {
		if got, err := NewSerial(c.region, c.shard, c.n); !errors.Is(err, ErrSerialRange) {
			t.Errorf("NewSerial(%d, %d, %d) = %d, %v; want it refused", c.region, c.shard, c.n, got, err)
		}
	}
	if s := Serial(16_000_000_000_000); s.Shard() < Shards { // no one can issue it
		t.Errorf("serial %d is in shard %d", s, s.Shard())
	}
}

func TestShardOfABrand(t *testing.T) {
	t.Parallel()
	for brand, want := range map[BrandID]Shard{0: 0, 1: 1, 15: 15, 16: 0, 1001: 9, 2147483647: 15} {
		if got := ShardOf(brand); got != want {
			t.Errorf("ShardOf(%d) = %d, want %d", brand, got, want)
		}
	}
}

func TestNewIsValidAndNeverTheSame(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 1000 {
		id := New("bat")
		if !Valid("bat", id) || seen[id] {
			t.Fatalf("New gave %q: valid %v, seen %v", id, Valid("bat", id), seen[id])
		}
		seen[id] = true
	}
}

func TestValidKeepsJunkAway(t *testing.T) {
	t.Parallel()
	good := "bat_" + strings.Repeat("0", 26)
	if !Valid("bat", good) {
		t.Errorf("%q is refused", good)
	}
	for _, junk := range []string{
		"", "bat", "bat_", good[:29], good + "0", "clm_" + good[4:], "BAT_" + good[4:], good[4:], " " + good,
		"bat_" + strings.Repeat("A", 26), "bat_" + strings.Repeat("i", 26), "bat_" + strings.Repeat("0", 25) + "'", "bat_" + strings.Repeat("é", 13),
	} {
		if Valid("bat", junk) {
			t.Errorf("%q is let through", junk)
		}
	}
}

func TestRequestWithoutAKeyIsZero(t *testing.T) {
	t.Parallel()
	if !(Request{Body: [32]byte{1}}).IsZero() || (Request{Key: [32]byte{31: 1}}).IsZero() {
		t.Error("a request is zero when it has no key, whatever its body")
	}
}

func TestIdentifiersNameTheirShard(t *testing.T) {
	t.Parallel()
	for shard := range Shard(Shards) {
		id := NewIn(shard, "bat")
		if got, ok := ShardIn(id); !ok || got != shard || !Valid("bat", id) {
			t.Errorf("%s names shard %d, %v; want %d", id, got, ok, shard)
		}
		if got, ok := ShardIn(Beside(id, "clm")); !ok || got != shard {
			t.Errorf("beside %s: shard %d, %v", id, got, ok)
		}
	}
	for _, id := range []string{New("bat"), New("bat"), Beside(New("bat"), "clm"), "", "x_!", "bat_"} {
		if shard, ok := ShardIn(id); ok {
			t.Errorf("%q names shard %d", id, shard)
		}
	}
}
