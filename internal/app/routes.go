package app

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync/atomic"

	"golang.org/x/term"

	"github.com/chopmark/chopmark/internal/batch/batchhttp"
	"github.com/chopmark/chopmark/internal/console"
	"github.com/chopmark/chopmark/internal/identity/identityhttp"
	"github.com/chopmark/chopmark/internal/mark"
	"github.com/chopmark/chopmark/internal/notify/notifyhttp"
	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/internal/platform/stream/streamhttp"
	"github.com/chopmark/chopmark/internal/platform/translog/transloghttp"
	"github.com/chopmark/chopmark/internal/resolve/resolvehttp"
	"github.com/chopmark/chopmark/internal/scan/scanhttp"
	"github.com/chopmark/chopmark/internal/scanner"
	"github.com/chopmark/chopmark/internal/site"
	"github.com/chopmark/chopmark/internal/verify/verifyhttp"
)

// routes puts the routes of the process's roles on one handler.
func (a *App) routes(stopping context.Context, ready *atomic.Bool, auth httpx.Authenticator) *httpx.Router {
	rt := httpx.NewRouter(auth, a.metrics, a.log)
	rt.Limit(a.httpLimits())
	if a.identity != nil {
		rt.Audit(identityhttp.NewAuditor(a.identity, a.log))
		rt.LetOrigins(a.identity.Origins)
	}
	a.probes(rt, ready)
	switch {
	case a.Runs(RoleIssue):
		a.issueRoutes(stopping, rt, auth)
	case a.Runs(RoleEdge):
		batchhttp.MountMarks(rt, a.codes, auth)
		a.complaintForm(rt, a.desk())
	}
	scanner.Mount(rt, a.keys.labelKeys)
	if a.Runs(RoleEdge) {
		a.scanRoutes(rt)
	}
	return rt
}

// issueRoutes are those of operators.
func (a *App) issueRoutes(stopping context.Context, rt *httpx.Router, auth httpx.Authenticator) {
	batchhttp.Mount(rt, batchhttp.Deps{
		Service: a.Batches, Claims: a.store, Tasks: a.tasks, Files: a.files, Outbox: a.outbox.Recent(), Tail: a.tail, Auth: auth,
		DownloadKey: a.keys.downloadKey(), Clock: a.clock, Log: a.log, Stopping: stopping,
		Generated: a.product.Generated, Made: a.brandMade,
	})
	scanhttp.Mount(rt, a.Scans)
	a.traceRoutes(stopping, rt)
	a.lineRoutes(rt)
	a.sourceRoutes(rt)
	a.timelineRoutes(rt, auth)
	a.wordRoutes(rt)
	resolvehttp.MountLinks(rt, a.links.service)
	streamhttp.Mount(rt, a.letterGroups())
	notifyhttp.Mount(rt, a.notify)
	a.complaintRoutes(rt)
	transloghttp.Mount(rt, a.translog, logPublic)
	rt.Admin("POST /api/v1/backup", a.postBackup(stopping))
	a.people(stopping, rt)
	console.Mount(rt)
	identityhttp.NewSignIn(a.identity, signInPages{a.site, a.localURL()}).Add(rt)
	rt.Raw("GET /demo", "/demo", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := a.getDemo(w, r); err != nil {
			httpx.Fail(w, r, a.log, err)
		}
	}))
}

// scanRoutes are what marks link to, and the verify route.
func (a *App) scanRoutes(rt *httpx.Router) {
	scans := verifyhttp.Deps{
		Service: a.Verify, Links: tokenLinks{a.codes}, Pages: pages{a.site, a.proj, a.texts}, Observer: a.product,
		Proxies: a.proxies, Limits: a.httpLimits(), BrandOf: a.brandOf, Gate: a.gate, Log: a.log, Consumer: a.passes().Consumer,
	}
	if a.tracer != nil {
		scans.Tracer = scanTraces{a.tracer}
	}
	handler := verifyhttp.New(scans)
	a.linkRoutes(rt, handler)
	handler.Mount(rt)
}

// signInPages shows the sign-in with the site's page.
type signInPages struct {
	site *site.Site
	url  string
}

// SignIn implements identityhttp.Pages.
func (p signInPages) SignIn(w io.Writer, lang string, state identityhttp.State, key string) error {
	return p.site.RenderSignIn(w, site.SignIn{Lang: lang, State: string(state), Key: key, BaseURL: p.url, Next: "chopmark sign-in --data DIR"})
}

// CSP implements identityhttp.Pages.
func (p signInPages) CSP() string { return p.site.DeskCSP() }

// bootstrap gives an empty installation its first credential.
func (a *App) bootstrap(ctx context.Context) (link string, _ error) {
	token, err := a.identity.Bootstrap(ctx, a.AdminKey)
	if err != nil || token == "" {
		return "", err
	}
	return a.localURL() + "/signin/" + token, nil
}

// NewSignIn makes a further one-time sign-in link, for an operator who lost the key.
func (a *App) NewSignIn(ctx context.Context) (link string, _ error) {
	token, err := a.identity.NewSignIn(ctx)
	if err != nil {
		return "", err
	}
	return a.localURL() + "/signin/" + token, nil
}

// localURL is where the operator of this machine reaches it.
func (a *App) localURL() string {
	c := a.Config
	c.PublicURL, c.TLSListen = "", ""
	if url, err := publicURL(&c); err == nil {
		return url
	}
	return a.URL
}

// Greet tells a person where everything is.
func Greet(w io.Writer, a *App, addrs Addresses) {
	line := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format+"\n", args...) }
	line("Chopmark %s", a.Version)
	line("  data      %s", a.Data)
	line("  HTTP      http://%s", addrs.HTTP)
	if addrs.TLS != "" {
		line("  HTTPS     https://%s", addrs.TLS)
	}
	if addrs.GRPC != "" {
		line("  gRPC      %s", addrs.GRPC)
	}
	if addrs.Roles != "" {
		line("  roles     %s", addrs.Roles)
	}
	line("  codes     %s/{code}", a.URL)
	if addrs.SignIn != "" {
		line("  sign in   %s   (one use, 24 h)", addrs.SignIn)
	}
	if !a.Demo {
		return
	}
	line("  demo      %s/demo", a.localURL())
	if d := a.demoWorld.Load(); d != nil && a.Trace != nil {
		line("  a story   %s", d.story(a.localURL()))
	}
	if addrs.TLS != "" {
		line("\nScan this with a phone in the same network (the certificate is self-signed):\n")
		if symbol, err := mark.New(a.URL + "/demo"); err == nil {
			_ = symbol.Terminal(w, term.IsTerminal(int(os.Stdout.Fd()))) // a greeting that nobody reads is no failure
		}
	}
}
