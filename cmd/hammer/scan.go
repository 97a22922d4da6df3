package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"

	"github.com/chopmark/chopmark/test/load"
)

// session is what a command runs in.
type session struct {
	ctx       context.Context //nolint:containedctx // kong hands it from main to the command
	out, errs io.Writer
}

// terminal is where progress is shown, if there is one.
func (s *session) terminal() (*os.File, bool) {
	f, ok := s.errs.(*os.File)
	return f, ok && term.IsTerminal(int(f.Fd()))
}

// live shows a load on the terminal, if there is one; wipe cleans it.
func (s *session) live() (show func(*load.Result), wipe func()) {
	f, ok := s.terminal()
	if !ok {
		return nil, func() {}
	}
	return load.Live(f), func() { _, _ = fmt.Fprint(f, "\r\x1b[K") }
}

type scanCmd struct {
	URL        string        `required:"" placeholder:"URL" help:"The server, such as http://127.0.0.1:8080."`
	Codes      string        `required:"" type:"existingfile" placeholder:"FILE" help:"CSV with a column code, or a zip with one, as chopmark issue writes."`
	For        time.Duration `default:"60s" help:"How long to ask (profile steady)."`
	Conns      int           `default:"32" help:"Connections; with --http2, streams (profile steady)."`
	Rate       float64       `default:"0" help:"Requests a second, latency counted from when each was due; 0 = as fast as the answers come (profile steady)."`
	Mix        string        `default:"fresh=80,repeat=15,forged=5" help:"Shares of fresh, repeat, stale, forged and malformed. stale needs --key."`
	Pick       string        `default:"uniform" enum:"uniform,zipf" help:"Which code a repeat asks for: uniform, or zipf, by Zipf's law with exponent 1.1. Of those asked for before, or of all when nothing is fresh."`
	Expect     []string      `default:"authentic,authentic_again" help:"Verdicts allowed for fresh and repeat: authentic, authentic_again, sold, inactive."`
	Key        string        `env:"HAMMER_KEY" placeholder:"KEY" help:"Admin API key; reissues a few of the codes to make stale tokens."`
	HTTP2      bool          `name:"http2" help:"HTTP/2, also in cleartext, instead of HTTP/1.1."`
	Forwarded  bool          `help:"Forged X-Forwarded-For, Forwarded and X-Real-IP with random addresses on each request."`
	AllowShed  bool          `help:"Count 503 with Retry-After apart, neither as right nor as wrong."`
	Profile    string        `default:"steady" enum:"steady,seed" help:"steady, or seed: preheat, ramp, burst, steady."`
	Scale      float64       `default:"1" help:"Shortens or lengthens the stages of profile seed."`
	GoalP99    time.Duration `name:"goal-p99" default:"0s" help:"Highest p99 of any stage, since requests were due; 0 = no goal."`
	GoalSent   time.Duration `name:"goal-sent-p99" default:"0s" help:"The same, since they were sent: of what an overloaded server lets in."`
	GoalErrors int64         `name:"goal-errors" default:"0" help:"How many requests may stay without an answer."`
}

// Run loads the server and says what came of it.
func (c *scanCmd) Run(s *session) error {
	mix, stages, transport, err := c.plan()
	if err != nil {
		return usageError{err}
	}
	codes, err := load.ReadCodes(c.Codes)
	if err != nil {
		return err
	}
	pick := map[string]load.Pick{"uniform": load.Uniform, "zipf": load.Zipf}[c.Pick]
	work, err := load.NewScan(codes, load.ScanOptions{Mix: mix, Expect: c.Expect, Pick: pick, HTTP2: c.HTTP2})
	if err != nil {
		return usageError{err}
	}
	if mix[load.Stale] > 0 {
		if err := work.Supersede(s.ctx, c.URL, c.Key); err != nil {
			return fmt.Errorf("make stale tokens: %w", err)
		}
	}
	live, wipe := s.live()
	results, runErr := load.Run(s.ctx, transport, work, stages, live)
	wipe()
	met, err := load.Summary(s.out, results, load.Goals{P99: c.GoalP99, SentP99: c.GoalSent, Errors: c.GoalErrors})
	if work.RanOut() {
		_, _ = fmt.Fprintln(s.out, "every code was asked for: what should have been fresh after that counts as repeat")
	}
	if err = errors.Join(runErr, err); err == nil && !met {
		err = errMissed
	}
	return err
}

// plan reads what can be judged before anything is done.
func (c *scanCmd) plan() (mix load.Mix, stages []load.Stage, t load.Transport, err error) {
	if mix, err = load.ParseMix(c.Mix); err != nil {
		return mix, nil, nil, err
	}
	if mix[load.Stale] > 0 && c.Key == "" {
		return mix, nil, nil, errors.New("stale tokens are made with the admin key: give --key, or a --mix without stale")
	}
	switch {
	case c.Profile == "seed" && (c.Scale < 0.001 || c.Scale > 100):
		return mix, nil, nil, errors.New("--scale must be between 0.001 and 100")
	case c.Profile == "seed":
		stages = load.Seed(c.Scale)
	case c.For <= 0:
		return mix, nil, nil, errors.New("--for must be longer than nothing")
	default:
		stages = []load.Stage{load.Steady(c.For, c.Conns, c.Rate)}
	}
	if err := load.Check(stages); err != nil {
		return mix, nil, nil, err
	}
	for i := range stages {
		stages[i].AllowShed = c.AllowShed
	}
	newTransport := load.NewTransport
	if c.Forwarded {
		newTransport = load.NewForwarded
	}
	t, err = newTransport(c.URL, c.HTTP2)
	return mix, stages, t, err
}
