package app

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/batch/batchrpc/feed"
	"github.com/chopmark/chopmark/internal/complaint/complaintrpc"
	"github.com/chopmark/chopmark/internal/identity/identityhttp"
	"github.com/chopmark/chopmark/internal/identity/identityrpc"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/keyset"
	"github.com/chopmark/chopmark/internal/platform/grpcx"
	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/internal/platform/mtls"
	"github.com/chopmark/chopmark/internal/resolve/resolverpc"
	"github.com/chopmark/chopmark/internal/verify"
)

// Role is a part of the product that a process runs.
type Role string

// The roles. RoleAll is every one of them.
const (
	RoleAll    Role = "all"
	RoleEdge   Role = "edge"   // answers scans
	RoleIssue  Role = "issue"  // brands, batches, states, files, events: the API
	RoleWorker Role = "worker" // consumes what happened
)

// RoleConfig says what a process runs, and how it finds and trusts the others.
type RoleConfig struct {
	Target     string // roles, by commas; "" = all
	Join       string // https://host:port of a process with RoleListen, for one without SQL
	RoleListen string // "" = off
	RoleCert   string
	RoleKey    string
	RoleCA     string
	StaleAfter time.Duration // 0 = verify.DefaultStaleAfter
}

// Runs reports whether the process has a role.
func (c *RoleConfig) Runs(r Role) bool {
	if c.Target == "" {
		return true
	}
	for name := range strings.SplitSeq(c.Target, ",") {
		if Role(name) == r || Role(name) == RoleAll {
			return true
		}
	}
	return false
}

// run starts what the process's roles do beside answering. Close waits for it.
func (a *App) run() {
	if a.edge != nil {
		a.runEdge()
	}
	a.ship()
	if a.Runs(RoleWorker) {
		a.sweepPhotos()
		a.sweepLogos()
		a.consume()
		a.logFacts()
		a.watchTraces()
	}
	a.feedWords()
	a.pushCommits()
	a.sightings.Stream().Start()
}

// ended holds why the process cannot go on; nil where nothing but a listener can end it.
func (a *App) ended() <-chan error {
	if a.edge == nil {
		return nil
	}
	return a.edge.ended
}

// authenticator knows whose key a request carries.
func (a *App) authenticator() httpx.Authenticator {
	if a.identity == nil {
		return noKeys{}
	}
	return identityhttp.NewAuthenticator(a.identity, a.proxies, a.quotas)
}

// hasSQL reports whether the process works on SQL; an edge alone does not.
func (c *RoleConfig) hasSQL() bool { return c.Runs(RoleIssue) || c.Runs(RoleWorker) }

// staleMin leaves room for two questions to the other side.
const staleMin = time.Second

func (c *RoleConfig) check() error {
	for name := range strings.SplitSeq(c.Target, ",") {
		switch Role(name) {
		case "", RoleAll, RoleEdge, RoleIssue, RoleWorker:
			if name == "" && c.Target != "" {
				return usage("target", "names an empty role")
			}
		case "trace", "redeem", "trade", "console":
			return usage("target", "role %q is not built yet; there are all, edge, issue and worker", name)
		default:
			return usage("target", "%q is no role; there are all, edge, issue and worker", name)
		}
	}
	certs := 0
	for _, file := range []string{c.RoleCert, c.RoleKey, c.RoleCA} {
		if file != "" {
			certs++
		}
	}
	switch {
	case !c.hasSQL() && c.Join == "":
		return usage("join", "an edge needs it: https://host:port of a process with --role-listen")
	case c.hasSQL() && c.Join != "":
		return usage("join", "is for an edge alone: a process with another role has SQL of its own")
	case !c.hasSQL() && c.RoleListen != "":
		return usage("role-listen", "needs a process with SQL: all, issue or worker")
	case (c.Join != "" || c.RoleListen != "") && certs != 3:
		return usage("role-cert", "--role-cert, --role-key and --role-ca are needed between roles; make them with `chopmark keys ca` and `chopmark keys role-cert`")
	case c.StaleAfter == 0:
		c.StaleAfter = verify.DefaultStaleAfter
	case c.StaleAfter < staleMin:
		return usage("stale-after", "must be at least %s", staleMin)
	}
	return nil
}

// certWarning is how long before its end a role certificate is spoken of.
const certWarning = 30 * 24 * time.Hour

// roleFiles gives the process's own certificate, which must name one of the roles.
func (a *App) roleFiles(flag string, roles ...Role) (mtls.Files, error) {
	f := mtls.Files{Cert: a.RoleCert, Key: a.RoleKey, CA: a.RoleCA}
	own, err := f.Own()
	if err != nil {
		return f, err
	}
	named := mtls.Roles(own)
	if !slices.ContainsFunc(names(roles...), func(r string) bool { return slices.Contains(named, r) }) {
		return f, usage("role-cert", "names the roles %v; --%s needs one of %v", named, flag, roles)
	}
	switch left := own.NotAfter.Sub(a.clock.Now()); {
	case left < 0:
		a.log.Error("the role certificate has expired: the other processes refuse this one", "file", a.RoleCert, "expired", own.NotAfter)
	case left < certWarning:
		a.log.Warn("the role certificate expires soon; put another into its place, no restart is needed", "file", a.RoleCert, "expires", own.NotAfter)
	}
	return f, nil
}

// names are those that a certificate may show for one of the roles.
func names(roles ...Role) []string {
	out := []string{string(RoleAll)}
	for _, r := range roles {
		out = append(out, string(r))
	}
	return out
}

// roleConnectionMax is after how long a connection shows its certificate again.
const roleConnectionMax = time.Hour

// listenRoles opens the listener for processes of other roles.
func (a *App) listenRoles() (server, string, error) {
	files, err := a.roleFiles("role-listen", RoleIssue)
	if err != nil {
		return server{}, "", err
	}
	creds, err := files.Server(a.clock)
	if err != nil {
		return server{}, "", err
	}
	s := grpcx.New(grpcx.Config{
		MessageBytesMax: feed.MessageBytesMax, Creds: creds, ConnectionMax: roleConnectionMax,
		Peer: func(ctx context.Context) (httpx.Principal, error) {
			name, err := mtls.Peer(ctx, names(RoleEdge)...)
			return httpx.Principal{ID: "role:" + name, Name: name, Access: httpx.Everything{}}, err
		},
		Token: a.readRoleToken,
	}, nil, a.metrics, a.log, a.clock)
	service, err := feed.New(feed.Deps{
		Tally:  a.tally(),
		Source: a.store, Catalog: a.store, Proj: a.proj, Snapshot: a.local.Snapshot, Dir: filepath.Join(a.Data, dirSnapshots),
		Keys: func() ([]byte, error) { return keyset.Encode(edgeShare(a.keys.present())) },
		TryInner: func(ctx context.Context, r ids.Request, s ids.Serial, right bool) (batch.InnerRecord, error) {
			if err := a.checkBrand(ctx, s); err != nil {
				return batch.InnerRecord{}, err
			}
			return a.Batches.TryInner(ctx, r, s, right, verify.InnerTriesMax)
		},
	})
	if err != nil {
		return server{}, "", err
	}
	service.Add(s)
	resolverpc.New(a.links.store).Add(s)
	identityrpc.NewPassesServer(a.identity.Passes()).Add(s)
	complaintrpc.New(a.complaints()).Add(s)
	ln, err := (&net.ListenConfig{}).Listen(a.background, "tcp", a.RoleListen)
	if err != nil {
		return server{}, "", fmt.Errorf("--role-listen: %w", err)
	}
	return server{serve: func() error { return s.Serve(ln) }, stop: s.Stop, ready: s.SetReady}, ln.Addr().String(), nil
}
