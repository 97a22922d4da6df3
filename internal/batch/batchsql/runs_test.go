package batchsql

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/chopmark/chopmark/internal/batch"
)

func TestRunsRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var rs batch.Runs
		for next := int64(1); rapid.Bool().Draw(t, "more"); {
			from := next + rapid.Int64Range(0, 1<<34).Draw(t, "gap")
			to := from + rapid.Int64Range(0, 1<<34).Draw(t, "length")
			rs, next = append(rs, batch.Run{From: from, To: to}), to+2
		}
		got, err := decodeRuns(encodeRuns(rs))
		if diff := cmp.Diff(rs, got); diff != "" || err != nil {
			t.Fatalf("%v (-want +got):\n%s", err, diff)
		}
	})
	for _, raw := range [][]byte{{0x80}, {1}, {1, 0x80}, {1, 1, 1}} {
		if rs, err := decodeRuns(raw); err == nil {
			t.Errorf("%v was read as %v", raw, rs)
		}
	}
}
