package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/chopmark/chopmark/test/harness"
	"github.com/chopmark/chopmark/test/load"
)

type soakCmd struct {
	For       time.Duration `default:"10m" help:"How long to load the server."`
	Every     time.Duration `default:"5s" help:"How often to look at it."`
	Rate      float64       `default:"300" help:"Scans a second."`
	Conns     int           `default:"16" help:"Connections."`
	ownServer `embed:""`
}

// soakMix asks for new codes and old ones and for what must be refused, so that what
// is kept for each item, each visit and each error would show.
func soakMix() load.Mix {
	return load.Mix{load.Fresh: 25, load.Repeat: 60, load.Forged: 10, load.Malformed: 5}
}

// Run loads a server of its own and says whether it has grown.
func (c *soakCmd) Run(s *session) (err error) {
	stages := []load.Stage{load.Steady(c.For, c.Conns, c.Rate)}
	fresh := c.Rate * c.For.Seconds() * 0.3 // a quarter, and what chance may add
	switch {
	case c.Rate <= 0:
		return usageError{errors.New("--rate must be above 0")}
	case c.Every < time.Second/10 || c.For < samplesMin*c.Every:
		return usageError{fmt.Errorf("--every must be at least 100ms, and --for at least %d times as long", samplesMin)}
	case fresh > load.CodesMax:
		return usageError{fmt.Errorf("--for and --rate ask for more than %d codes", load.CodesMax)}
	}
	if err := load.Check(stages); err != nil {
		return usageError{err}
	}
	bin, data, leave, err := c.place(s.ctx, s.out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, leave(err)) }()
	server, err := harness.Start(s.ctx, bin, data)
	if err != nil {
		return err
	}
	defer server.Kill() // Stop has ended it already when all went well
	results, samples, err := c.soak(s, server, stages, int(fresh)+1000)
	if err != nil {
		return fmt.Errorf("%w\n%s", err, server.Log())
	}
	met, err := load.Summary(s.out, results, load.Goals{})
	if err != nil {
		return err
	}
	flat, err := writeTrends(s.out, samples)
	if err == nil && (!met || !flat) {
		err = errMissed
	}
	return errors.Join(err, server.Stop())
}

// soak loads the server and samples it until the load is over.
func (c *soakCmd) soak(s *session, server *harness.Server, stages []load.Stage, codes int) ([]*load.Result, []sample, error) {
	work, err := soakWork(s.ctx, server, codes)
	if err != nil {
		return nil, nil, err
	}
	transport, err := load.NewTransport(server.URL, false)
	if err != nil {
		return nil, nil, err
	}
	ctx, stop := context.WithCancel(s.ctx)
	defer stop()
	type outcome struct {
		results []*load.Result
		err     error
	}
	over := make(chan outcome, 1)
	live, wipe := s.live()
	defer wipe()
	go func() { // waited for at every return below
		results, err := load.Run(ctx, transport, work, stages, live)
		over <- outcome{results, err}
	}()
	begun := time.Now()
	tick := time.NewTicker(c.Every)
	defer tick.Stop()
	var samples []sample
	for {
		select {
		case end := <-over:
			if end.err == nil && len(samples) < samplesMin {
				end.err = fmt.Errorf("%d samples are too few to judge: %d would do", len(samples), samplesMin)
			}
			return end.results, samples, end.err
		case <-tick.C:
		}
		one, err := look(ctx, server)
		if err != nil {
			stop()
			<-over
			return nil, nil, fmt.Errorf("look at the server: %w", err)
		}
		one.at = time.Since(begun)
		if one.at < c.For { // what drains after the end is no steady load
			samples = append(samples, one)
		}
	}
}

func soakWork(ctx context.Context, server *harness.Server, quantity int) (*load.Scan, error) {
	texts, err := issue(ctx, server, "SOAK", quantity, "active")
	if err != nil {
		return nil, err
	}
	codes := make([]uint64, len(texts))
	for i, text := range texts {
		if codes[i], err = strconv.ParseUint(text, 10, 64); err != nil {
			return nil, err
		}
	}
	sorted, err := load.NewCodes(codes)
	if err != nil {
		return nil, err
	}
	return load.NewScan(sorted, load.ScanOptions{Mix: soakMix(), Expect: []string{"authentic", "authentic_again"}, Pick: load.Zipf})
}

// look takes one sample.
func look(ctx context.Context, server *harness.Server) (one sample, err error) {
	if one.goroutines, err = server.Metric(ctx, "go_goroutines"); err != nil {
		return one, err
	}
	if one.residentMB, err = harness.ResidentMB(server.Pid()); err != nil {
		return one, err
	}
	files, err := harness.OpenFiles(server.Pid())
	one.files = float64(files)
	return one, err
}
