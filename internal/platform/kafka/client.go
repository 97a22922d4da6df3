// Package kafka carries events to and from Kafka.
//
// Promises. What Publish returned nil for is acknowledged by all replicas in sync. Events
// of one key that are published one after the other lie in one partition in that order,
// by their first appearance: after a failure some may be there twice, none too late
// (TestBrokerDown). A Relay brings every event of an outbox over at least once, in the
// order of commit, and a Consumer commits what it has read after the effect of it
// (TestConsumerCrash). Kafka that is away stops none of this and nothing else: whoever
// needs it waits, and what they read from keeps what is not delivered.
//
// The key is the brand id in decimal digits; its partition is the murmur2 hash of the key
// modulo the number of partitions, as the Java client has it, so that programs of others
// which write by the same key land in the same place.
package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/stream"
	"github.com/chopmark/chopmark/internal/platform/trace"
)

// Partitions is how many partitions a topic is made with.
const Partitions = 32

const (
	replicasMax      = 3
	bufferedMax      = 10_000
	bufferedBytesMax = 64 << 20
	deliveryMax      = 10 * time.Second // of one Publish
	adminMax         = 5 * time.Second
	checkMax         = 3 * time.Second // a start waits no longer for brokers
)

// The headers of every event.
const (
	headerID    = "event_id"
	headerTime  = "timestamp" // milliseconds since 1970
	headerTrace = "traceparent"
)

// Config says where Kafka is.
type Config struct {
	Address

	Topics []string // made at the start when they are missing; others when they are first used
	Tracer *trace.Tracer
	Clock  clock.Clock  // nil = the machine's
	Log    *slog.Logger // nil = silent
}

// Client publishes. It is safe for concurrent use, and a prometheus.Collector.
type Client struct {
	Config

	kgo     *kgo.Client
	admin   *kadm.Client
	metrics *metrics

	mu    sync.Mutex
	known map[string]bool // guarded by mu: topics that are there
}

var _ prometheus.Collector = (*Client)(nil)

// Open makes a client. Brokers that cannot be reached are told of in the log and are no
// error: the client goes on looking for them.
func Open(ctx context.Context, cfg Config) (*Client, error) {
	if cfg.Clock == nil {
		cfg.Clock = clock.System{}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	c := &Client{Config: cfg, metrics: newMetrics(), known: map[string]bool{}}
	var err error
	c.kgo, err = kgo.NewClient(append(c.options(),
		kgo.RequiredAcks(kgo.AllISRAcks()), // and idempotent, which is the default
		// A record that was sent and not answered is given up, too. Its next try may
		// double it, which at least once allows; waiting for it would let tries pile up.
		kgo.AllowIdempotentProduceCancellation(),
		kgo.MaxBufferedRecords(bufferedMax),
		kgo.MaxBufferedBytes(bufferedBytesMax),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)), // murmur2 of the key
		kgo.ProducerBatchCompression(kgo.Lz4Compression(), kgo.NoCompression()),
	)...)
	if err != nil {
		return nil, fmt.Errorf("prepare to speak to Kafka at %s: %w", strings.Join(cfg.Brokers, ","), err)
	}
	c.admin = kadm.NewClient(c.kgo)
	ctx, cancel := context.WithTimeout(ctx, checkMax)
	defer cancel()
	if err := c.ensure(ctx, cfg.Topics...); err != nil {
		cfg.Log.Warn("Kafka cannot be used now: events wait where they are kept and are delivered when it can", "brokers", cfg.Brokers, "error", err)
	}
	return c, nil
}

// options are what every connection to these brokers has.
func (c *Client) options() []kgo.Opt {
	all := []kgo.Opt{
		kgo.SeedBrokers(c.Brokers...), kgo.ClientID("chopmark"), kgo.WithLogger(logger{c.Log}),
		kgo.DialTimeout(checkMax), kgo.RetryTimeout(deliveryMax),
	}
	if c.TLS != nil {
		all = append(all, kgo.DialTLSConfig(c.TLS))
	}
	if c.sasl != nil {
		all = append(all, kgo.SASL(c.sasl))
	}
	return all
}

// Close ends the connections. What is being published then fails.
func (c *Client) Close() { c.kgo.Close() }

// Message is an event to publish.
type Message struct {
	Topic string
	Brand ids.BrandID // the key
	ID    string      // of the event, the same at every try
	Time  time.Time   // of what it tells
	Trace trace.Context
	Value []byte // a CloudEvent in JSON
}

func (m *Message) record() *kgo.Record {
	r := &kgo.Record{
		Topic: m.Topic, Key: strconv.AppendInt(nil, int64(m.Brand), 10), Value: m.Value, Timestamp: m.Time,
		Headers: []kgo.RecordHeader{
			{Key: headerID, Value: []byte(m.ID)},
			{Key: headerTime, Value: strconv.AppendInt(nil, m.Time.UnixMilli(), 10)},
		},
	}
	if !m.Trace.IsZero() {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: headerTrace, Value: []byte(m.Trace.Traceparent())})
	}
	return r
}

// Publish sends messages and waits until all of them are acknowledged. When it fails any
// of them may have arrived: send all of them again, in the same order. The error is
// stream.Unavailable unless a message itself is refused.
func (c *Client) Publish(ctx context.Context, messages []Message) error {
	records := make([]*kgo.Record, len(messages))
	for i := range messages {
		records[i] = messages[i].record()
	}
	return c.produce(ctx, records)
}

func (c *Client) produce(ctx context.Context, records []*kgo.Record) error {
	if len(records) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, deliveryMax)
	defer cancel()
	topics := map[string]bool{}
	for _, r := range records {
		topics[r.Topic] = true
	}
	for topic := range topics {
		if err := c.ensure(ctx, topic); err != nil {
			return stream.Unavailable(err)
		}
	}
	err := c.send(ctx, records)
	if err == nil {
		c.metrics.up.Set(1)
		for _, r := range records {
			c.metrics.produced.WithLabelValues(r.Topic).Inc()
		}
		return nil
	}
	c.metrics.failed.Inc()
	err = fmt.Errorf("publish %d events: %w", len(records), err)
	if errors.Is(err, kerr.MessageTooLarge) || errors.Is(err, kerr.InvalidRecord) {
		return err
	}
	c.metrics.up.Set(0)
	c.mu.Lock()
	clear(c.known) // a topic may be gone: look again
	c.mu.Unlock()
	return stream.Unavailable(err)
}

// send waits for the outcome of every record, and no longer than ctx.
func (c *Client) send(ctx context.Context, records []*kgo.Record) error {
	outcome := make(chan error, len(records))
	for _, r := range records {
		c.kgo.Produce(ctx, r, func(_ *kgo.Record, err error) { outcome <- err })
	}
	var first error
	for range records {
		select {
		case err := <-outcome:
			// The first is the cause; those behind it in its partition fail with it.
			if first == nil {
				first = err
			}
		case <-ctx.Done():
			if first == nil {
				first = ctx.Err()
			}
			return first
		}
	}
	return first
}

// ensure makes topics that are not there.
func (c *Client) ensure(ctx context.Context, topics ...string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var unknown []string
	for _, t := range topics {
		if !c.known[t] {
			unknown = append(unknown, t)
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, adminMax)
	defer cancel()
	cluster, err := c.admin.Metadata(ctx, unknown...)
	if err != nil {
		c.metrics.up.Set(0)
		return fmt.Errorf("ask Kafka for topics: %w", err)
	}
	c.metrics.up.Set(1)
	for _, topic := range unknown {
		there := cluster.Topics[topic]
		switch {
		case errors.Is(there.Err, kerr.UnknownTopicOrPartition) || there.Err == nil && len(there.Partitions) == 0:
			if err := c.create(ctx, topic, len(cluster.Brokers)); err != nil {
				return err
			}
		case there.Err != nil:
			return fmt.Errorf("ask Kafka for topic %s: %w", topic, there.Err)
		case len(there.Partitions) != Partitions:
			c.Log.Warn("a topic was made with another number of partitions; consumers of others that count on it will miss events",
				"topic", topic, "partitions", len(there.Partitions), "expected", Partitions)
		}
		c.known[topic] = true
	}
	return nil
}

func (c *Client) create(ctx context.Context, topic string, brokers int) error {
	settings := map[string]*string{}
	if strings.HasSuffix(topic, lettersSuffix) {
		settings["retention.ms"] = new("-1") // until somebody has looked
	}
	made, err := c.admin.CreateTopics(ctx, Partitions, int16(min(replicasMax, max(brokers, 1))), settings, topic)
	if err == nil {
		err = made[topic].Err
	}
	if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
		return fmt.Errorf("make topic %s: %w", topic, err)
	}
	return nil
}

// logger hands franz-go's own lines to our log. What it calls an error it tries again,
// so here it is a warning at most.
type logger struct{ log *slog.Logger }

// Level implements kgo.Logger.
func (l logger) Level() kgo.LogLevel {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		return kgo.LogLevelInfo
	}
	return kgo.LogLevelError
}

// Log implements kgo.Logger.
func (l logger) Log(level kgo.LogLevel, msg string, keyvals ...any) {
	to := slog.LevelDebug
	if level == kgo.LogLevelError {
		to = slog.LevelWarn
	}
	l.log.Log(context.Background(), to, "kafka: "+msg, keyvals...)
}
