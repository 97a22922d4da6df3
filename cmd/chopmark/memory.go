package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// gcPercent lets the heap grow to five times what lives before it is swept: what
	// lives is small (tens of MB), and scans are answered with a third of the sweeps.
	gcPercent = 400
	// heapUsual bounds that growth, so that a server with much to remember stays below
	// a gigabyte; what lives may need more, and then gets as much again.
	heapUsual = 800 << 20
	heapLook  = 5 * time.Second
)

// steadyMemory keeps sweeps rare while little lives, and the process small while much
// does, until ctx ends. Go's own variables win.
func steadyMemory(ctx context.Context) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	debug.SetMemoryLimit(heapUsual)
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	tick := time.NewTicker(heapLook)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			metrics.Read(live)
			debug.SetMemoryLimit(heapLimit(live[0].Value.Uint64()))
		case <-ctx.Done():
			return
		}
	}
}

// heapLimit never comes near what lives: a limit there would have it swept all the
// time.
func heapLimit(live uint64) int64 { return max(heapUsual, 2*int64(live)) }
