package app

import (
	"context"

	"github.com/chopmark/chopmark/internal/batch/batchevent"
	"github.com/chopmark/chopmark/internal/complaint/complaintevent"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/kafka"
	"github.com/chopmark/chopmark/internal/platform/lease"
	"github.com/chopmark/chopmark/internal/platform/search"
	"github.com/chopmark/chopmark/internal/scan/scanevent"
	"github.com/chopmark/chopmark/internal/scan/scankafka"
	"github.com/chopmark/chopmark/internal/timeline/timelineevent"
	"github.com/chopmark/chopmark/internal/trace/traceevent"
	"github.com/chopmark/chopmark/internal/verify/verifyevent"
)

// openKafka opens the way of events to others. Workers go it; a process with the API looks
// after dead letters.
func (a *App) openKafka(ctx context.Context) error {
	if a.Kafka == "" {
		return nil
	}
	address, err := kafka.Parse(a.Kafka)
	if err != nil {
		return usage("kafka", "%v", err)
	}
	a.kafka, err = kafka.Open(ctx, kafka.Config{
		Address: address, Topics: []string{
			batchevent.CodeGenerated, batchevent.CodeStateChanged, verifyevent.CodeVerified, traceevent.TraceCaptured, timelineevent.TraceQueried,
			scanevent.DataSynced, complaintevent.Filed, batchevent.AlertTriggered,
		},
		Tracer: a.tracer, Clock: a.clock, Log: a.log,
	})
	if err != nil {
		return err
	}
	a.closers = append(a.closers, func() error { a.kafka.Close(); return nil })
	a.metrics.Registry.MustRegister(a.kafka)
	if a.Search == "" {
		return nil
	}
	index, err := search.Open(a.Search)
	if err != nil {
		return err
	}
	a.kafkaConsumers = append(a.kafkaConsumers, scankafka.AnalyticsConsumer(a.kafka, index))
	return nil
}

// publisher is the group of scans that feeds Kafka.
func (a *App) publisher() *scankafka.Publisher {
	// Positions are unique over the logs of all processes, so the log needs no name.
	return &scankafka.Publisher{Client: a.kafka, Codes: scanCodes{a}, Batches: scanCatalog{a.Batches}, Source: a.URL}
}

// relay tells Kafka of facts, and lets those work who read what Kafka has.
func (a *App) relay() {
	if a.kafka == nil {
		return
	}
	relay := kafka.NewRelay(a.kafka, a.outbox, lease.New(a.db, ids.New("proc"), a.clock), "kafka", a.URL)
	a.onCommit = append(a.onCommit, relay.Wake)
	a.work.Go(func() { relay.Run(a.background) })
	for _, c := range a.kafkaConsumers {
		a.work.Go(func() {
			if err := c.Run(a.background); err != nil && a.background.Err() == nil {
				a.log.Error("a consumer of Kafka has ended", "group", c.Group, "error", err)
			}
		})
	}
}
