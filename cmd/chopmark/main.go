// Command chopmark is the whole product in one binary: the server, and the tools of
// whoever runs it. `chopmark --help` lists the commands.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // time zones, also where the system has none

	"github.com/alecthomas/kong"

	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
)

// version is set by the build.
var version = "dev"

// The exit codes of the contract.
const (
	exitFailed = 1
	exitUsage  = 2
)

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	c, exit, err := parse(ctx, args)
	if exit >= 0 {
		return exit // --help and --version have done their work
	}
	if err == nil {
		err = c.parsed.Run(c)
	}
	return report(err)
}

// parse reads the command line, the environment and the file of --config; exit is not
// negative when that was all there is to do.
func parse(ctx context.Context, args []string) (_ *configuration, exit int, _ error) {
	c := &configuration{args: args}
	exit = -1
	parser, err := kong.New(&c.cli,
		kong.Name("chopmark"), kong.Description("Codes, verdicts and history for every single item."),
		kong.DefaultEnvars("CHOPMARK"), kong.Configuration(c.strictYAML), kong.UsageOnError(),
		kong.Exit(func(code int) { exit = code }), kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.BindTo(ctx, (*context.Context)(nil)), kong.Vars{"version": version},
	)
	if err != nil {
		panic(err) // the command line's own definition is wrong
	}
	c.parsed, err = parser.Parse(args)
	return c, exit, err
}

// report says what went wrong, and gives the exit code.
func report(err error) int {
	if err == nil {
		return 0
	}
	f, isFault := fault.From(err)
	var parse *kong.ParseError
	switch {
	case isFault && (f.Code == "usage" || f.Code == "auth.bad_admin_key"), errors.Is(err, sqldb.ErrMySQLURL), errors.As(err, &parse):
		fmt.Fprintln(os.Stderr, "chopmark:", text(err))
		return exitUsage
	default:
		fmt.Fprintln(os.Stderr, "chopmark:", text(err))
		return exitFailed
	}
}

// text is a fault's text without its code, for people.
func text(err error) string {
	if f, ok := fault.From(err); ok && f.Unwrap() == nil {
		return f.Text
	}
	return err.Error()
}
