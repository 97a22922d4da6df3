package batch

import (
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

func codeOf(err error) string {
	if err == nil {
		return ""
	}
	f, ok := fault.From(err)
	if !ok {
		return "internal: " + err.Error()
	}
	return f.Code
}

// TestGuessBound pins that all regions together stay below 10^14 codes, whatever
// each of them does, and that a shard's limit is never below one code.
func TestGuessBound(t *testing.T) {
	t.Parallel()
	total := new(big.Int)
	for region := 0; region <= ids.RegionMax; region++ {
		limit := ShardLimit(region)
		if limit > ids.ShardCapacity {
			t.Fatalf("region %d may issue %d numbers, a shard has %d", region, limit, int64(ids.ShardCapacity))
		}
		if region > 0 && limit > ShardLimit(region-1) {
			t.Fatalf("region %d may issue more than the one before", region)
		}
		if limit < 1 {
			t.Fatalf("region %d may issue nothing", region)
		}
		total.Add(total, big.NewInt(limit*ids.Shards))
		want := "batch.guess_bound"
		if limit == ids.ShardCapacity {
			want = "batch.shard_full"
		}
		if err := LimitError(region); codeOf(err) != want || fault.KindOf(err) != fault.Conflict {
			t.Fatalf("region %d: %v, want a conflict %s", region, err, want)
		}
	}
	if bound := big.NewInt(100_000_000_000_000); total.Cmp(bound) >= 0 {
		t.Errorf("all regions may issue %s codes, the bound is %s", total, bound)
	}
	if ShardLimit(0) != ids.ShardCapacity {
		t.Errorf("region 0 may issue %d numbers a shard, want all of them", ShardLimit(0))
	}
	if codeOf(LimitError(2)) != "batch.guess_bound" {
		t.Error("region 2 is bound by its shards, not by the guess")
	}
}

func TestRotationRoundTrip(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"": "off", "off": "off", "1h": "1h", "24h": "24h", "90m": "1h30m", "60m": "1h", "1m": "1m", "1m10s": "1m10s",
		"3600s": "1h", "1h0m10s": "1h0m10s", "10m": "10m", "20h": "20h", "87600h": "87600h",
	} {
		d, err := ParseRotation(text)
		if err != nil {
			t.Errorf("ParseRotation(%q): %v", text, err)
		}
		if got := FormatRotation(d); got != want {
			t.Errorf("FormatRotation(%q) = %q, want %q", text, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Range(int64(RotateMin/time.Second), int64(RotateMax/time.Second)).Draw(t, "seconds")) * time.Second
		if back, err := ParseRotation(FormatRotation(d)); back != d || err != nil {
			t.Fatalf("%v is written %q and read %v, %v", d, FormatRotation(d), back, err)
		}
	})
	for _, text := range []string{"1s", "59s", "-1h", "0s", "1h0m0.5s", "87601h", "1d", "one hour", "OFF", " 1h", "3600"} {
		if _, err := ParseRotation(text); codeOf(err) != "rotate.bad_period" {
			t.Errorf("ParseRotation(%q): %v", text, err)
		}
	}
}

func TestTextRules(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", textBytesMax)
	for _, c := range []struct{ text, name, free string }{
		{"a", "", ""}, {"", "input.empty", ""}, {"  ", "input.empty", ""}, {"\u3000", "input.empty", ""},
		{"茶", "", ""}, {" a ", "", ""}, {"a\nb", "input.bad_text", ""}, {"a\tb", "input.bad_text", ""},
		{"a\x00b", "input.bad_text", "input.bad_text"}, {"a\x7fb", "input.bad_text", "input.bad_text"},
		{"a\u0085b", "input.bad_text", "input.bad_text"}, {"a\xffb", "input.bad_text", "input.bad_text"},
		{long, "", ""}, {long + "x", "input.too_long", "input.too_long"}, {strings.Repeat(" ", textBytesMax+1), "input.empty", "input.empty"},
	} {
		if got := codeOf(CheckName("f", c.text, textBytesMax)); got != c.name {
			t.Errorf("name of %d bytes %.8q: %q, want %q", len(c.text), c.text, got, c.name)
		}
		if got := codeOf(checkText("f", c.text)); got != c.free {
			t.Errorf("text of %d bytes %.8q: %q, want %q", len(c.text), c.text, got, c.free)
		}
	}
	if err := CheckName("batch_no", strings.Repeat("茶", 21)+"x", batchNoBytesMax); err != nil {
		t.Errorf("64 bytes: %v", err)
	}
	if err := CheckName("batch_no", strings.Repeat("茶", 22), batchNoBytesMax); codeOf(err) != "input.too_long" {
		t.Errorf("66 bytes in 22 characters: %v", err)
	}
}

func TestNumberIsTheReverseOfSerial(t *testing.T) {
	t.Parallel()
	for _, first := range []ids.Serial{0, 1, 3*ids.ShardCapacity - 7, ids.SerialCount - 100} {
		b := Batch{First: first, Quantity: 100}
		for no := int64(1); no <= 100; no++ {
			if got, ok := b.Number(b.Serial(no)); got != no || !ok {
				t.Errorf("number %d of a batch at %d comes back as %d, %v", no, first, got, ok)
			}
		}
		for _, s := range []ids.Serial{first - 1, first + 100, first + 1<<62} {
			if no, ok := b.Number(s); ok {
				t.Errorf("serial %d is number %d of the batch at %d", s, no, first)
			}
		}
	}
}

func TestFaultsAreMatchedByCode(t *testing.T) {
	t.Parallel()
	if !errors.Is(LimitError(0), LimitError(1)) || errors.Is(LimitError(0), LimitError(5)) {
		t.Error("a full shard and the guess bound are told apart by their codes")
	}
}
