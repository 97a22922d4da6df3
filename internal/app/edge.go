package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/batch/batchkv"
	"github.com/chopmark/chopmark/internal/batch/batchrpc/feed"
	"github.com/chopmark/chopmark/internal/identity"
	"github.com/chopmark/chopmark/internal/identity/identityrpc"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/keyset"
	"github.com/chopmark/chopmark/internal/keyset/keysetfile"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/grpcx"
	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/internal/platform/mtls"
	"github.com/chopmark/chopmark/internal/platform/roletoken"
	"github.com/chopmark/chopmark/internal/platform/stream/streamredis"
	"github.com/chopmark/chopmark/internal/site"
	"github.com/chopmark/chopmark/internal/verify"
	"github.com/chopmark/chopmark/internal/verify/verifykv"
)

// edge is what a process without SQL has in its place: a way to one that has it.
type edge struct {
	join   *feed.Client
	vault  *keysetfile.Vault
	passes *identity.Passes
	ended  chan error // holds why the process cannot go on
}

const (
	fileSealedKeys = "edge-keys.sealed"
	fileRebuild    = "projection.rebuild" // the projection must begin anew
	dirSnapshots   = "snapshots"
	joinWait       = 30 * time.Second
	joinPause      = 250 * time.Millisecond
	keysEvery      = 10 * time.Second
)

// openEdge opens and wires a process that answers scans without SQL. What it needs of
// the others is asked for at its first start; later starts go without, if they must.
func (a *App) openEdge(ctx context.Context) error {
	if err := a.lock(); err != nil {
		return err
	}
	files, err := a.roleFiles("join", RoleEdge)
	if err != nil {
		return err
	}
	if err := a.dial(files); err != nil {
		return err
	}
	set, err := a.edgeKeys(ctx)
	if err != nil {
		return err
	}
	a.keys = newKeyring(set, a.clock)
	a.edge.passes = identity.NewPasses(a.keys.passKeys, a.clock.Now)
	if err := a.edgeProjection(ctx); err != nil {
		return err
	}
	if a.places, err = openPlaces(a.GeoIP); err != nil {
		return err
	}
	a.closers = append(a.closers, a.places.Close)
	if err := a.edgeSightings(ctx); err != nil {
		return err
	}
	a.codes = batch.NewReader(a.URL, a.keys.items, a.proj, a.keys, a.clock)
	if a.texts, err = verify.NewTextCache(a.edgeTexts); err != nil {
		return err
	}
	if err := a.edgeLinks(); err != nil {
		return err
	}
	a.product = newProductMetrics(a.metrics.Registry)
	a.product.watch(nil, a.texts)
	a.tellSettings()
	a.watchFeed()
	a.Verify = verify.NewService(verify.Config{
		Grace: verify.DefaultGrace, Devices: verify.NewDevices(a.keys.deviceSalt()), Places: a.places, Feed: a.proj, StaleAfter: a.StaleAfter,
		Limits: brandLimits{a.guard},
	}, a.keys.items, itemView{a.proj}, a.keys, edgeTries{a.edge.join}, a.texts, a.sightings, a.clock)
	a.site, err = site.New()
	return err
}

func (a *App) dial(files mtls.Files) error {
	creds, err := files.Client(a.clock, names(RoleIssue)...)
	if err != nil {
		return err
	}
	secret, err := files.Secret("edge-keys/1")
	if err != nil {
		return err
	}
	path := filepath.Join(a.Data, fileSealedKeys)
	if err := os.Remove(path + ".new"); err != nil && !errors.Is(err, os.ErrNotExist) { // of a process that was cut off: we hold the lock
		return fmt.Errorf("remove half a keyset: %w", err)
	}
	a.edge = &edge{ended: make(chan error, 1)}
	if a.edge.vault, err = keysetfile.NewSealed(path, secret); err != nil {
		return err
	}
	own, err := files.Own()
	if err != nil {
		return err
	}
	if a.edge.join, err = feed.Dial(a.Join, creds, a.clock, grpcx.Carry(a.roleTokens(own))...); err != nil {
		return err
	}
	a.closers = append(a.closers, a.edge.join.Close)
	return nil
}

// insist asks the others until they answer or have had their time.
func (a *App) insist(ctx context.Context, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, joinWait)
	defer cancel()
	for {
		err := ask(ctx)
		if err == nil || ctx.Err() != nil || fault.KindOf(err) == fault.Denied {
			return err
		}
		a.log.Info("the process to join does not answer yet", "join", a.Join, "error", err)
		select {
		case <-time.After(joinPause):
		case <-ctx.Done():
			return err
		}
	}
}

// edgeKeys asks for the keys, or opens those that were sealed the last time.
func (a *App) edgeKeys(ctx context.Context) (*keyset.Set, error) {
	old, missing := a.edge.vault.Load(ctx)
	if errors.Is(missing, keyset.ErrExposed) {
		return nil, missing
	}
	set, err := a.askKeys(ctx)
	switch {
	case err != nil && old != nil:
		a.log.Warn("the process to join does not answer: this edge starts with what it knows", "join", a.Join, "error", err)
		return old, nil
	case err != nil:
		err = a.insist(ctx, func(ctx context.Context) error {
			set, err = a.askKeys(ctx)
			return err
		})
	}
	if err != nil {
		return nil, fmt.Errorf("an edge needs the process that it joins (%s) at its first start: %w", a.Join, err)
	}
	return set, a.sealKeys(ctx, old, set)
}

func (a *App) askKeys(ctx context.Context) (*keyset.Set, error) {
	raw, err := a.edge.join.Keys(ctx)
	if err != nil {
		return nil, err
	}
	return keyset.Decode(raw)
}

// ErrOtherInstallation says that a data directory is not of whom it joins.
var ErrOtherInstallation = fault.New(fault.Conflict, "edge.other_installation", "this data directory belongs to another installation")

// sealKeys keeps the keys for a start without the others.
func (a *App) sealKeys(ctx context.Context, old, set *keyset.Set) error {
	switch {
	case old == nil:
	case old.Current(keyset.Codebook).ID != set.Current(keyset.Codebook).ID:
		return ErrOtherInstallation.Textf("the data directory %s belongs to another installation than %s", a.Data, a.Join)
	case old.Equal(set):
		return nil
	}
	err := a.edge.vault.Create(ctx, set)
	if errors.Is(err, keyset.ErrExists) {
		err = a.edge.vault.Replace(ctx, nil, set)
	}
	if err != nil {
		return fmt.Errorf("seal keys: %w", err)
	}
	return nil
}

// edgeProjection opens the projection, or brings one from the process that it joins.
func (a *App) edgeProjection(ctx context.Context) error {
	path, owner := filepath.Join(a.Data, dirProjection), a.keys.present().Current(keyset.Codebook).ID
	rebuild := filepath.Join(a.Data, fileRebuild)
	if _, err := os.Stat(rebuild); err == nil {
		if err := errors.Join(os.RemoveAll(path), os.Remove(rebuild)); err != nil {
			return fmt.Errorf("begin the projection anew: %w", err)
		}
	}
	if !a.whole(path, owner) {
		err := a.insist(ctx, func(ctx context.Context) error { return a.bring(ctx, path, owner) })
		if err != nil {
			return fmt.Errorf("an edge needs a copy of the projection of the process that it joins (%s): %w", a.Join, err)
		}
	}
	var err error
	if a.local, err = batchkv.Open(path, owner, a.log); err != nil {
		return err
	}
	a.closers = append(a.closers, a.local.Close)
	a.proj = batch.NewProjection(nil, a.local, a.Region)
	if _, err := a.proj.Load(); err != nil {
		return err
	}
	if region, ok := a.proj.OtherRegion(); ok {
		return usage("region", "the codes were issued for region %d; start with --region %d", region, region)
	}
	a.closers = append(a.closers, a.proj.Checkpoint)
	return nil
}

// whole reports whether there is a projection to start from.
func (a *App) whole(path, owner string) bool {
	if _, err := os.Stat(path); err != nil {
		return false
	}
	local, err := batchkv.Open(path, owner, a.log)
	if err != nil {
		a.log.Warn("the local projection is damaged and will be brought anew", "path", path, "error", err)
		return false
	}
	_, fresh, err := local.Load()
	return errors.Join(err, local.Close()) == nil && !fresh
}

// bring takes a snapshot.
func (a *App) bring(ctx context.Context, path, owner string) error {
	r, err := batchkv.Restore(path, owner, a.log)
	if err != nil {
		return err
	}
	if err := a.edge.join.Snapshot(ctx, r); err != nil {
		return errors.Join(err, r.Cancel())
	}
	return r.Done()
}

// edgeSightings opens the log of sightings. Until they have been sent on they stay
// here, as far as --scan-log-max allows.
func (a *App) edgeSightings(ctx context.Context) error {
	var err error
	if a.Redis != "" {
		if err := a.openShared(ctx, joinSummary{a.edge.join}); err != nil {
			return err
		}
	}
	a.sightings, err = verifykv.Open(filepath.Join(a.Data, dirSightings), verifykv.Options{
		Async: a.ScanAckAsync, Key: a.keys.sightingsKey(), CapBytes: a.ScanLogMax, Clock: a.clock, Log: a.log,
		Generation: a.shared.generation(ctx), Shared: a.counts(), Behind: a.CountWait < 0})
	if err != nil {
		return err
	}
	a.closers = append(a.closers, a.sightings.Close)
	if _, err := a.sightings.Stream().Group(streamredis.GroupShip); err != nil {
		return err
	}
	a.watchLog()
	return nil
}

// edgeTexts finds what came with the product's first batch.
func (a *App) edgeTexts(_ context.Context, id ids.ProductID) (verify.Text, error) {
	l, ok, err := a.local.Label(id)
	if err == nil && !ok {
		err = errors.New("its batch came without it")
	}
	if err != nil {
		return verify.Text{}, fmt.Errorf("read texts of product %d: %w", id, err)
	}
	return verify.Text{Name: l.Name, Brand: l.Brand, Help: l.Help, GTIN: l.GTIN}, nil
}

// edgeLabels keeps what consumers read of products, and forgets what memory has of them.
type edgeLabels struct{ app *App }

var _ feed.Labels = edgeLabels{}

// PutLabels implements feed.Labels.
func (e edgeLabels) PutLabels(labels []batch.Label) error {
	if err := e.app.local.PutLabels(labels); err != nil {
		return err
	}
	for some := range slices.Chunk(labels, forgetChunk) {
		products := make([]ids.ProductID, len(some))
		for i := range some {
			products[i] = some[i].Product
		}
		if err := e.app.texts.Forget(e.app.background, products); err != nil {
			return err
		}
	}
	return nil
}

// forgetChunk is what TextCache forgets at once: they are read from this disk again.
const forgetChunk = 100

// watchFeed tells how old the feed is.
func (a *App) watchFeed() {
	a.metrics.Registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "chopmark_feed_age_seconds", Help: "How long ago it was certain that every change is known here.",
	}, func() float64 { return a.clock.Now().Sub(a.proj.AsOf()).Seconds() }))
}

// follow keeps the projection up to date for as long as the process lives. Keys come
// before changes: what is made under a new key must not be refused.
func (a *App) follow(ctx context.Context) {
	cut := false
	for {
		err := a.renewKeys(ctx)
		if err == nil {
			if cut {
				a.log.Info("joined again", "join", a.Join)
			}
			cut = false
			err = a.edge.join.Follow(ctx, a.proj, edgeLabels{a})
		}
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, feed.ErrAhead):
			a.beginAnew(err)
			return
		case !cut:
			a.log.Warn("cut off from the process to join; scans are confirmed until --stale-after", "join", a.Join, "error", err)
			cut = true
		}
		select {
		case <-time.After(joinPause):
		case <-ctx.Done():
			return
		}
	}
}

// renewKeysEvery asks for keys that were made since.
func (a *App) renewKeysEvery(ctx context.Context) {
	t := time.NewTicker(keysEvery)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			_ = a.renewKeys(ctx) // follow speaks of it when the other side is away
		case <-ctx.Done():
			return
		}
	}
}

func (a *App) renewKeys(ctx context.Context) error {
	set, err := a.askKeys(ctx)
	if err != nil {
		return err
	}
	old := a.keys.present()
	if err := a.sealKeys(ctx, old, set); err != nil {
		return err
	}
	if !old.Equal(set) {
		a.keys.renew(set)
	}
	return nil
}

// beginAnew ends the process so that its next start takes a new snapshot: scans are
// answered from the projection at hand, which nothing may change under them.
func (a *App) beginAnew(why error) {
	f, err := os.Create(filepath.Join(a.Data, fileRebuild))
	if err == nil {
		err = f.Close()
	}
	a.edge.ended <- errors.Join(fmt.Errorf("start this edge again, it will begin anew: %w", why), err)
}

// runEdge starts what keeps an edge going. Close waits for it.
func (a *App) runEdge() {
	a.work.Go(func() { a.follow(a.background) })
	a.work.Go(func() { a.renewKeysEvery(a.background) })
	a.work.Go(func() { a.keepApplied(a.background) })
	a.work.Go(func() {
		a.keepHearing(a.background, "changes of links are not heard of; those that are known are answered", a.hearLinks)
	})
	passes := identityrpc.NewPassesClient(a.edge.join.Conn(), a.edge.passes)
	a.work.Go(func() {
		a.keepHearing(a.background, "it is not heard whose sessions end; scans are booked on them until their passes are over", passes.CatchUp)
	})
}

// keepEvery is how often at most what was applied is made durable.
const keepEvery = 250 * time.Millisecond

// keepApplied makes changes durable soon after they were heard: an edge that starts
// again while it is cut off has nobody to ask for them.
func (a *App) keepApplied(ctx context.Context) {
	applied, stop := a.proj.Watch()
	defer stop()
	for {
		select {
		case <-applied:
			if err := a.proj.Checkpoint(); err != nil {
				a.log.Error("changes cannot be kept; a start while cut off would not know them", "error", err)
			}
		case <-ctx.Done():
			return
		}
		select {
		case <-time.After(keepEvery):
		case <-ctx.Done():
			return
		}
	}
}

// edgeTries counts tries of inner codes at the process that has SQL.
type edgeTries struct{ join *feed.Client }

var _ verify.InnerTries = edgeTries{}

// TryInner implements verify.InnerTries.
func (t edgeTries) TryInner(ctx context.Context, item *verify.Item, right bool) (verify.Tried, error) {
	behalf := roletoken.Of(ctx)
	behalf.Brand = int32(item.BrandID)
	rec, err := t.join.TryInner(roletoken.On(ctx, behalf), item.Serial, right)
	if fault.KindOf(err) == fault.Unavailable || errors.Is(err, context.DeadlineExceeded) {
		return verify.Tried{}, verify.ErrUnreachable.Because(err)
	}
	return verify.Tried{Tries: rec.Tries, FirstAt: rec.FirstAt, Locked: rec.Locked}, err
}

// noKeys and noBearers know nobody: API keys are for processes with SQL.
type (
	noKeys    struct{}
	noBearers struct{}
)

// Authenticate implements httpx.Authenticator.
func (noKeys) Authenticate(*http.Request) (httpx.Principal, error) {
	return httpx.Principal{}, httpx.ErrNoAuth
}

// Authenticate implements grpcx.Authenticator.
func (noBearers) Authenticate(string) (httpx.Principal, error) {
	return httpx.Principal{}, httpx.ErrNoAuth
}
