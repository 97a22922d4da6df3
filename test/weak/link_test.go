package main

import (
	"testing"
	"time"
)

// TestLink holds the emulated link to what it was asked for, in computed time.
func TestLink(t *testing.T) {
	t.Parallel()
	begin := time.Unix(1_000_000, 0)
	t.Run("rate and delay", func(t *testing.T) {
		t.Parallel()
		l := newLink(shape{rate: 50_000, delay: 250 * time.Millisecond}, 1)
		for i := range 12 { // of 1,250 bytes: 200 ms each
			at, ok := l.admit(begin, 1250)
			if want := begin.Add(time.Duration(i+1)*200*time.Millisecond + 250*time.Millisecond); !ok || !at.Equal(want) {
				t.Errorf("packet %d arrives after %v", i, at.Sub(begin))
			}
		}
		later := begin.Add(time.Hour) // an idle link saves nothing up
		if at, _ := l.admit(later, 1250); at.Sub(later) != 450*time.Millisecond {
			t.Errorf("a packet on an idle link takes %v", at.Sub(later))
		}
	})
	t.Run("loss", func(t *testing.T) {
		t.Parallel()
		l, lost := newLink(shape{loss: 0.02}, 7), 0
		for range 100_000 {
			if _, ok := l.admit(begin, 100); !ok {
				lost++
			}
		}
		if lost < 1_800 || lost > 2_200 {
			t.Errorf("%d of 100,000 lost, want about 2,000", lost)
		}
	})
	t.Run("a full queue", func(t *testing.T) {
		t.Parallel()
		l, kept := newLink(shape{rate: 8_000}, 1), 0
		for range 100 { // of a tenth of a second each
			if _, ok := l.admit(begin, 100); ok {
				kept++
			}
		}
		if kept < 40 || kept > 42 {
			t.Errorf("%d packets are kept, want those of about 4 seconds", kept)
		}
	})
	t.Run("a link without bounds", func(t *testing.T) {
		t.Parallel()
		if at, ok := newLink(shape{}, 1).admit(begin, 1500); !ok || !at.Equal(begin) {
			t.Error("held up")
		}
	})
}

func TestPayload(t *testing.T) {
	t.Parallel()
	udp := make([]byte, 20+8+30)
	udp[0], udp[3], udp[9] = 0x45, byte(len(udp)), 17
	tcp := make([]byte, 24+32+7)
	tcp[0], tcp[3], tcp[9], tcp[24+12] = 0x46, byte(len(tcp)), 6, 0x80
	for want, p := range map[int][]byte{30: udp, 7: tcp, 0: udp[:20]} {
		if got := payloadOf(p); got != want {
			t.Errorf("%d bytes, want %d", got, want)
		}
	}
}
