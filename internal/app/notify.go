package app

import (
	"context"
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/notify"
	"github.com/chopmark/chopmark/internal/notify/notifyhttp"
	"github.com/chopmark/chopmark/internal/notify/notifysql"
	"github.com/chopmark/chopmark/internal/platform/egress"
	"github.com/chopmark/chopmark/internal/platform/lease"
	"github.com/chopmark/chopmark/internal/platform/stream"
	"github.com/chopmark/chopmark/internal/platform/stream/streamhttp"
)

// openNotify wires webhooks.
func (a *App) openNotify() {
	a.notify = notify.NewService(a.webhooks(), knownBrands{a.Batches}, notifyhttp.NewSender(egress.New(a.postsInside())), a.keys.webhookKey(), a.clock)
}

// postsInside reports whether webhooks and subscriptions may lead to this machine and private
// networks. In production who may register them is not who may reach what stands there.
func (a *App) postsInside() bool { return a.Env != Production || a.SourcePrivate }

func (a *App) webhooks() *notifysql.Store { return notifysql.New(a.db, a.outbox, a.clock) }

// sendWebhooks puts events on their way to webhooks and sends them.
func (a *App) sendWebhooks() {
	sent := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "chopmark_webhook_tries_total", Help: "Posts to webhooks, by what came of them.",
	}, []string{"result"})
	a.metrics.Registry.MustRegister(sent)
	done, failed := sent.WithLabelValues("delivered"), sent.WithLabelValues("failed")
	courier := notify.NewCourier(a.notify, a.log, func(delivered bool) {
		if delivered {
			done.Inc()
		} else {
			failed.Inc()
		}
		if a.standing != nil {
			a.standing.Wake() // the next document may go
		}
	})
	follower := notifysql.NewFollower(a.webhooks(), lease.New(a.db, ids.New("proc"), a.clock), a.URL, a.log, courier.Wake)
	a.onCommit = append(a.onCommit, follower.Wake)
	a.work.Go(func() { follower.Run(a.background) })
	a.work.Go(func() { courier.Run(a.background, follower.Lead) })
	a.sendSubscriptions(courier.Wake)
}

// webhookLetters are the deliveries that were given up.
func (a *App) webhookLetters() streamhttp.Group {
	return streamhttp.Group{
		Name: notify.Group,
		Dead: func(ctx context.Context, after string, limit int) ([]stream.Letter, error) {
			dead, err := a.notify.Dead(ctx, after, limit)
			letters := make([]stream.Letter, len(dead))
			for i := range dead {
				d := &dead[i]
				letters[i] = stream.Letter{ID: d.LetterID(), Group: notify.Group, Value: d.Body, Reason: d.Reason, Tries: d.Tries, BuriedAt: d.CreatedAt}
			}
			return letters, badLetter(err)
		},
		Replay: func(ctx context.Context) (stream.Replayed, error) {
			done, kept, err := a.notify.Replay(ctx)
			return stream.Replayed{Consumed: done, Kept: kept}, err
		},
		Discard: func(ctx context.Context, ids ...string) error { return badLetter(a.notify.Discard(ctx, ids...)) },
	}
}

func badLetter(err error) error {
	if errors.Is(err, notify.ErrBadLetter) {
		return stream.ErrBadLetterID
	}
	return err
}

// knownBrands tells webhooks of brands.
type knownBrands struct{ svc *batch.Service }

var _ notify.Brands = knownBrands{}

// HasBrand implements notify.Brands.
func (b knownBrands) HasBrand(ctx context.Context, id ids.BrandID) error {
	_, err := b.svc.Brand(ctx, id)
	return err
}
