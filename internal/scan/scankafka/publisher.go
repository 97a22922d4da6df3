// Package scankafka tells Kafka of scans, and brings what Kafka has of them to a search
// server.
//
// Promise: every sighting of the log becomes a code.verified event at least once, under
// one id and with one content at every try, those of an item in their order
// (TestScansArrive); and every such event becomes one document, however often it comes
// (TestOneDocument).
package scankafka

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/kafka"
	"github.com/chopmark/chopmark/internal/platform/outbox"
	"github.com/chopmark/chopmark/internal/platform/stream"
	"github.com/chopmark/chopmark/internal/platform/trace"
	"github.com/chopmark/chopmark/internal/scan"
	"github.com/chopmark/chopmark/internal/verify/verifyevent"
)

// GroupKafka is the group of the log of sightings that feeds Kafka.
const GroupKafka = "kafka"

// Batches finds the batch of a first serial; ok is false when it is not known.
type Batches interface {
	BatchAt(ctx context.Context, first ids.Serial) (_ scan.BatchInfo, ok bool, _ error)
}

// Publisher publishes the sightings of one log. It is a stream.Handler for messages of
// scansql.Split: their lane is the brand, so the order of a brand's scans is the log's.
type Publisher struct {
	Client  *kafka.Client
	Codes   scan.Codes
	Batches Batches
	Source  string // the installation's public URL
	// Log tells this log from those of other processes that publish to the same topic:
	// part of the events' ids. "" = it is the only one.
	Log string
}

var _ stream.Handler = (*Publisher)(nil)

// Handle implements stream.Handler: it returns when Kafka has acknowledged the batch.
func (p *Publisher) Handle(ctx context.Context, _ int, batch []stream.Message) error {
	messages := make([]kafka.Message, len(batch))
	known := map[ids.Serial]scan.BatchInfo{}
	for i := range batch {
		seen, err := seenOf(&batch[i])
		if err == nil {
			messages[i], err = p.message(ctx, seen, known)
		}
		if err != nil {
			return fmt.Errorf("tell of scan %s-%d: %w", batch[i].At, batch[i].N, err)
		}
	}
	return p.Client.Publish(ctx, messages)
}

// seenOf gives a message's sighting; a dead letter's is read again from what it kept.
func seenOf(m *stream.Message) (seen *scan.Seen, err error) {
	seen, ok := m.Value.(*scan.Seen)
	if !ok {
		err = verifyevent.Each(m.Raw, func(n uint16, s *verifyevent.Sighting) error {
			if int(n) == m.N {
				seen = &scan.Seen{Ref: verifyevent.Ref{At: uint64(m.At), N: n}, Sighting: *s}
				scan.Fit(&seen.Sighting)
			}
			return nil
		})
	}
	switch {
	case err != nil:
		return nil, err
	case seen == nil:
		return nil, verifyevent.ErrDamaged
	}
	if why := scan.Unfit(&seen.Sighting); why != "" {
		return nil, fmt.Errorf("%w: %s", verifyevent.ErrDamaged, why)
	}
	return seen, nil
}

func (p *Publisher) message(ctx context.Context, s *scan.Seen, known map[ids.Serial]scan.BatchInfo) (m kafka.Message, _ error) {
	first := s.FirstOfBatch()
	info, ok := known[first]
	if !ok {
		var err error
		if info, _, err = p.Batches.BatchAt(ctx, first); err != nil {
			return m, stream.Unavailable(err) // no scan's fault
		}
		known[first] = info
	}
	data, err := json.Marshal(p.verified(s, &info))
	if err != nil {
		return m, err
	}
	e := outbox.Event{
		ID: p.id(s.Ref), Type: verifyevent.CodeVerified, BrandID: s.Brand, Subject: p.Codes.Code(s.Serial),
		Time: time.UnixMicro(s.At).UTC(), Data: data,
	}
	value, err := json.Marshal(e.CloudEvent(p.Source))
	if err != nil {
		return m, err
	}
	m = kafka.Message{Topic: e.Type, Brand: e.BrandID, ID: e.ID, Time: e.Time, Value: value}
	if s.What.Has(verifyevent.Traced) {
		m.Trace = trace.Context(s.Trace)
	}
	return m, nil
}

// id names a scan as the list of scans does.
func (p *Publisher) id(r verifyevent.Ref) string {
	if p.Log != "" {
		return "scn_" + p.Log + "-" + scan.RefText(r)
	}
	return "scn_" + scan.RefText(r)
}

func (p *Publisher) verified(s *scan.Seen, batch *scan.BatchInfo) verifyevent.Verified {
	result, word := scan.Judge(&s.Sighting)
	v := verifyevent.Verified{
		Code: p.Codes.Code(s.Serial), BrandID: int32(s.Brand), ProductID: int32(s.Product),
		BatchID: string(batch.ID), BatchNo: batch.No, ItemNo: s.No,
		Result: result.String(), Error: word, Verdict: scan.VerdictName(s.Verdict), Source: scan.SourceName(s.Source),
		Count: s.Count, First: s.What.Has(verifyevent.First), FirstOfDay: s.What.Has(verifyevent.FirstOfDay),
		NewSession: s.What.Has(verifyevent.NewSession), Far: s.What.Has(verifyevent.Far),
		Country: s.Place.Country, Province: s.Place.Province,
	}
	if s.Device != 0 {
		v.Device = strconv.FormatUint(s.Device, 16)
	}
	return v
}
