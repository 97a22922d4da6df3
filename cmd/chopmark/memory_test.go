package main

import "testing"

func TestHeapLimit(t *testing.T) {
	t.Parallel()
	for live, want := range map[uint64]int64{0: heapUsual, 100 << 20: heapUsual, 400 << 20: 800 << 20, 5 << 30: 10 << 30} {
		if got := heapLimit(live); got != want {
			t.Errorf("%d live: limit %d, want %d", live, got, want)
		}
	}
}
