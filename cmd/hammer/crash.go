package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/chopmark/chopmark/test/crash"
)

// errLost: the summary has said what.
var errLost = errors.New("not everything that was acknowledged is there")

type crashCmd struct {
	Rounds    int    `default:"500" help:"How often the server is killed."`
	Seed      uint64 `default:"0" help:"Of the random choices; 0 = by the clock."`
	ownServer `embed:""`
}

// Run kills the server and says what came of it.
func (c *crashCmd) Run(s *session) (err error) {
	if c.Rounds < 1 {
		return usageError{errors.New("--rounds must be at least 1")}
	}
	seed := c.Seed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	server, data, leave, err := c.place(s.ctx, s.out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, leave(err)) }()
	o := crash.Options{Server: server, Data: data, Rounds: c.Rounds, Seed: seed}
	wipe := func() {}
	if f, ok := s.terminal(); ok {
		wipe = func() { _, _ = fmt.Fprint(f, "\r\x1b[K") }
		o.Progress = func(done *crash.Report) {
			_, _ = fmt.Fprintf(f, "\r\x1b[Kround %d of %d  %d scans  %d changes  recovery at most %v", done.Rounds, c.Rounds, done.Scans, done.Changes,
				done.RecoveryMax().Round(time.Millisecond))
		}
	}
	report, err := crash.Run(s.ctx, o)
	wipe()
	_, printed := fmt.Fprint(s.out, report)
	if len(report.Lost) == 0 && err == nil && printed == nil {
		_, err = fmt.Fprintln(s.out, "everything that was acknowledged is there")
		return err
	}
	for _, line := range report.Lost {
		_, _ = fmt.Fprintln(s.out, "LOST", line)
	}
	if len(report.Lost) > 0 {
		err = errors.Join(errLost, err)
	}
	if s.ctx.Err() == nil {
		_, _ = fmt.Fprintln(s.out, "again with the same choices:", c.again(max(report.Rounds, 1), seed))
	}
	return errors.Join(err, printed)
}

// again is the command that repeats a run. The moments within a round are the
// machine's, so it may take more than one try.
func (c *crashCmd) again(rounds int, seed uint64) string {
	line := fmt.Sprintf("hammer crash --rounds %d --seed %d", rounds, seed)
	if c.Server != "" {
		line += " --server " + c.Server
	}
	return line
}
