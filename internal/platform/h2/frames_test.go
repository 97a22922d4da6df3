package h2

import (
	"bytes"
	"testing"

	"golang.org/x/net/http2"
	"pgregory.net/rapid"
)

// TestFrames: whatever pieces the bytes come in, the frames are those that http2 reads.
func TestFrames(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var sent bytes.Buffer
		fr := http2.NewFramer(&sent, nil)
		var want []frame
		for range rapid.IntRange(1, 20).Draw(t, "frames") {
			f := frame{
				kind:  http2.FrameType(rapid.IntRange(0, 12).Draw(t, "kind")),
				flags: http2.Flags(rapid.IntRange(0, 255).Draw(t, "flags")),
				size:  rapid.OneOf(rapid.IntRange(0, 8), rapid.IntRange(0, 300)).Draw(t, "size"),
			}
			payload := make([]byte, f.size)
			if f.kind == http2.FrameRSTStream && f.size == 4 {
				f.code = http2.ErrCode(rapid.IntRange(0, 13).Draw(t, "code"))
				payload[3] = byte(f.code)
			}
			if err := fr.WriteRawFrame(f.kind, f.flags, 1, payload); err != nil {
				t.Fatal(err)
			}
			want = append(want, f)
		}
		var got []frame
		var read frames
		for left := sent.Bytes(); len(left) > 0; {
			n := rapid.IntRange(1, len(left)).Draw(t, "piece")
			if !read.each(left[:n], func(f frame) bool { got = append(got, f); return true }) {
				t.Fatal("stopped")
			}
			left = left[n:]
		}
		if len(got) != len(want) {
			t.Fatalf("%d frames, want %d", len(got), len(want))
		}
		for i := range want {
			if got[i] != want[i] {
				t.Fatalf("frame %d is %+v, want %+v", i, got[i], want[i])
			}
		}
	})
}
