package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

const barWidth = 30

// progress shows a bar on a terminal, and nothing elsewhere.
type progress struct {
	on    bool
	begun time.Time
}

func newProgress() *progress {
	return &progress{on: term.IsTerminal(int(os.Stderr.Fd())), begun: time.Now()}
}

func (p *progress) set(done, total int64) {
	if !p.on || total == 0 {
		return
	}
	full := int(barWidth * done / total)
	rate := float64(done) / max(time.Since(p.begun).Seconds(), 0.001)
	fmt.Fprintf(os.Stderr, "\r[%s%s] %3d %%  %d of %d, %.0f/s ", strings.Repeat("█", full), strings.Repeat("░", barWidth-full),
		100*done/total, done, total, rate)
}

func (p *progress) end() {
	if p.on {
		fmt.Fprintln(os.Stderr)
	}
}
