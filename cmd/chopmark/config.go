package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v3"

	"github.com/chopmark/chopmark/internal/app"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

// configuration is what the command line, the environment and the file came to.
type configuration struct {
	cli
	args   []string
	parsed *kong.Context
	file   yamlResolver // what the file of --config says; nil = no file
}

// strictYAML reads --config. It fills flags that neither the command line nor the
// environment names, and refuses keys that are no flags.
func (c *configuration) strictYAML(r io.Reader) (kong.Resolver, error) {
	values := map[string]any{}
	if err := yaml.NewDecoder(r).Decode(&values); err != nil && !errors.Is(err, io.EOF) {
		return nil, fault.New(fault.Invalid, "usage", "--config: %v", err)
	}
	c.file = values
	return c.file, nil
}

type yamlResolver map[string]any

// Validate implements kong.Resolver.
func (y yamlResolver) Validate(a *kong.Application) error {
	known := map[string]bool{}
	var visit func(n *kong.Node)
	visit = func(n *kong.Node) {
		for _, f := range n.Flags {
			known[strings.ReplaceAll(f.Name, "-", "_")] = true
		}
		for _, child := range n.Children {
			visit(child)
		}
	}
	visit(a.Node)
	for key := range y {
		if !known[strings.ReplaceAll(key, "-", "_")] || key == "config" {
			return fault.Field("usage", "config", "%q is not a setting", key)
		}
	}
	return nil
}

// Resolve implements kong.Resolver.
func (y yamlResolver) Resolve(_ *kong.Context, _ *kong.Path, f *kong.Flag) (any, error) {
	for _, env := range f.Envs {
		if _, set := os.LookupEnv(env); set {
			return nil, nil //nolint:nilnil // not ours to say
		}
	}
	if text, ok := y.text(f.Name); ok {
		return text, nil
	}
	return nil, nil //nolint:nilnil // not in the file
}

// text is what the file says of a flag.
func (y yamlResolver) text(flag string) (string, bool) {
	for _, key := range []string{flag, strings.ReplaceAll(flag, "-", "_")} {
		if v, ok := y[key]; ok {
			if t, isTime := v.(time.Time); isTime { // YAML knows times; flags are texts
				return t.Format(time.RFC3339), true
			}
			return fmt.Sprint(v), true
		}
	}
	return "", false
}

// settings are the values of all flags of the command, as texts.
func (c *configuration) settings() map[string]string {
	all := map[string]string{}
	for _, f := range c.parsed.Flags() {
		all[f.Name] = fmt.Sprint(c.parsed.FlagValue(f))
	}
	return all
}

// pinned are the flags of the file that something stronger has said.
func (c *configuration) pinned() (flags []string) {
	onLine := map[string]bool{}
	for _, p := range c.parsed.Path {
		if p.Flag != nil && !p.Resolved {
			onLine[p.Flag.Name] = true
		}
	}
	for _, f := range c.parsed.Flags() {
		if _, ok := c.file.text(f.Name); ok && (onLine[f.Name] || slices.ContainsFunc(f.Envs, func(env string) bool { _, set := os.LookupEnv(env); return set })) {
			flags = append(flags, f.Name)
		}
	}
	return flags
}

// reloader reads the configuration again while the server runs, when its file changes
// and at SIGHUP.
type reloader struct {
	app     *app.App
	log     *slog.Logger
	level   *slog.LevelVar
	inForce *configuration
}

// watchEvery is how soon a changed file is seen.
const watchEvery = time.Second

// run watches until ctx ends; done waits for it. Without a file SIGHUP changes nothing,
// and ends nothing.
func (r *reloader) run(ctx context.Context) (done func()) {
	path := string(r.inForce.Serve.Config)
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		defer signal.Stop(hup)
		look := time.NewTicker(watchEvery)
		defer look.Stop()
		seen := stamp(path)
		for {
			select {
			case <-ctx.Done():
				return
			case <-stop:
				return
			case <-hup:
				seen = stamp(path)
				r.reload(ctx)
			case <-look.C:
				if now := stamp(path); now != seen {
					seen = now
					r.reload(ctx)
				}
			}
		}
	})
	return func() { close(stop); wg.Wait() }
}

// stamp tells one content of a file from the next; a file that is away has the zero one.
func stamp(path string) (s struct {
	at   time.Time
	size int64
},
) {
	if st, err := os.Stat(path); err == nil {
		s.at, s.size = st.ModTime(), st.Size()
	}
	return s
}

// reload puts in force what may change. A configuration that is wrong anywhere changes
// nothing.
func (r *reloader) reload(ctx context.Context) {
	next, _, err := parse(ctx, r.inForce.args)
	if err == nil {
		err = r.app.Reload(next.Serve.config())
	} else {
		r.app.ReloadRefused()
	}
	if err != nil {
		r.log.Error("the configuration is refused; what was in force stays", "file", string(r.inForce.Serve.Config), "error", text(err))
		return
	}
	r.level.Set(next.Serve.level())
	if pinned := next.pinned(); len(pinned) > 0 {
		r.log.Warn("the command line or the environment is stronger than the file", "settings", strings.Join(pinned, ", "))
	}
	was, is := r.inForce.settings(), next.settings()
	var restart []string
	for name, value := range is {
		if was[name] != value && !app.Reloadable(name) {
			restart = append(restart, name)
		}
	}
	if slices.Sort(restart); len(restart) > 0 {
		r.log.Warn("these settings changed too; each needs a restart", "settings", strings.Join(restart, ", "))
	}
}
