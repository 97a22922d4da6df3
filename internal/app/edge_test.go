package app

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chopmark/chopmark/internal/identity"
	"github.com/chopmark/chopmark/internal/platform/mtls"
)

// serving serves a configuration until the test ends, or stop is called.
func serving(t *testing.T, c Config) (a *App, at Addresses, stop func()) {
	t.Helper()
	a, err := Open(t.Context(), c, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	started, ended := make(chan Addresses, 1), make(chan error, 1)
	go func() { ended <- a.Serve(ctx, func(at Addresses) { started <- at }) }()
	var done atomic.Bool
	stop = func() {
		if done.Swap(true) {
			return
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	select {
	case at = <-started:
	case err := <-ended:
		ended <- err
		t.Fatal(err)
	}
	return a, at, stop
}

// TestEdgeHearsEndedSessions: a session that ends at the process with SQL counts no more at an
// edge; cut off, the edge goes on with what it has heard, and hears the rest when it is back.
func TestEdgeHearsEndedSessions(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := mtls.NewAuthority(dir, time.Now()); err != nil {
		t.Fatal(err)
	}
	config := func(name, listen string) Config {
		if err := mtls.Issue(dir, dir, mtls.Grant{Name: name, Roles: []string{name}}, time.Now()); err != nil {
			t.Fatal(err)
		}
		c := testConfig(filepath.Join(t.TempDir(), "data"))
		c.Listen, c.AdminKey = "127.0.0.1:0", matrixAdminKey
		c.RoleCert, c.RoleKey, c.RoleCA = filepath.Join(dir, name+".pem"), filepath.Join(dir, name+"-key.pem"), filepath.Join(dir, "ca.pem")
		c.RoleListen = listen
		return c
	}
	whole := config("all", "127.0.0.1:0")
	issue, at, stop := serving(t, whole)
	c := config("edge", "")
	c.Target, c.Join = "edge", "https://"+at.Roles
	edge, _, _ := serving(t, c)
	signIn := func(name string) identity.OpenedConsumer {
		t.Helper()
		o, err := issue.identity.SignInConsumerProvided(t.Context(), identity.Provided{Issuer: "test", Subject: name}, identity.Device{Client: identity.App})
		if err != nil {
			t.Fatal(err)
		}
		if edge.passes().Consumer(o.Token) != int64(o.Consumer) {
			t.Fatal("an edge does not know a pass by its keys")
		}
		return o
	}
	forgets := func(o identity.OpenedConsumer) time.Duration {
		t.Helper()
		begun := time.Now()
		for edge.passes().Consumer(o.Token) != 0 {
			if time.Since(begun) > 30*time.Second { // only a broken edge takes so long
				t.Fatal("the edge goes on naming an account whose session has ended")
			}
			time.Sleep(time.Millisecond) // the other side pushes nothing that could be waited for
		}
		return time.Since(begun)
	}
	end := func(o identity.OpenedConsumer) {
		t.Helper()
		if err := issue.identity.EraseConsumer(t.Context(), o.Consumer); err != nil {
			t.Fatal(err)
		}
	}
	var longest time.Duration
	for i := range 10 {
		o := signIn(fmt.Sprint("one ", i))
		end(o)
		longest = max(longest, forgets(o))
	}
	t.Logf("of 10 sessions that ended, an edge knew within %s", longest)
	early, late := signIn("early"), signIn("late")
	end(early)
	forgets(early)
	stop()
	if edge.passes().Consumer(early.Token) != 0 || edge.passes().Consumer(late.Token) == 0 {
		t.Error("cut off, the edge does not go on with what it has heard")
	}
	whole.RoleListen = at.Roles
	issue, _, _ = serving(t, whole)
	end(late)
	forgets(late)
	forgets(early)
}
