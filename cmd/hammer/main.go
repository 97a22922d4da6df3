// Command hammer loads a server and checks every answer, kills it and checks what is
// left, soaks it and checks that it does not grow. Exit code 0: all goals were met and
// nothing was wrong or lost; 1: not so; 2: wrong usage.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

const (
	exitFailed = 1
	exitUsage  = 2
)

// errMissed: the summary has said what.
var errMissed = errors.New("not every goal was met")

// usageError is a command line that asks for what cannot be done.
type usageError struct{ error }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, out, errs io.Writer) int {
	var c struct {
		Scan     scanCmd     `cmd:"" help:"Scan codes of a running server and check every verdict."`
		Crash    crashCmd    `cmd:"" help:"Kill a server with -9 under load, over and over, and check that what it acknowledged is there."`
		Soak     soakCmd     `cmd:"" help:"Load a server steadily and check that memory, goroutines and open files stay."`
		Estimate estimateCmd `cmd:"" help:"The peak to plan for, of a mean rate."`
	}
	exit := -1
	parser := kong.Must(&c, kong.Name("hammer"), kong.Description("Load that checks answers."), kong.Writers(out, errs),
		kong.Exit(func(code int) { exit = code }), kong.ConfigureHelp(kong.HelpOptions{Compact: true}))
	parsed, err := parser.Parse(args)
	if exit >= 0 {
		return exit // --help has done its work
	}
	if err == nil {
		err = parsed.Run(&session{ctx, out, errs})
	}
	var usage usageError
	var parse *kong.ParseError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage), errors.As(err, &parse):
		_, _ = fmt.Fprintln(errs, "hammer:", err)
		return exitUsage
	}
	_, _ = fmt.Fprintln(errs, "hammer:", err)
	return exitFailed
}
