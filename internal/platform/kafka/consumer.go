package kafka

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/stream"
	"github.com/chopmark/chopmark/internal/platform/trace"
)

// Record is an event to consume.
type Record struct {
	Topic     string
	Partition int32
	Offset    int64
	Key       string // the brand id
	ID        string // of the event: what makes a repetition known
	Time      time.Time
	Value     []byte // a CloudEvent in JSON

	raw *kgo.Record
}

// Handler makes the effect of records. A batch is of one partition and in order.
//
// When it returns nil the effect is durable. The same records may come again, so the
// effect is either known by the event's id or kept in one transaction with
// platform/inbox. A failed batch is given again one by one, and a record that fails
// HandlerTries times becomes a dead letter. What it needs is out of reach: return
// stream.Unavailable, and the records wait. Some records can never be consumed and the
// others were: return RejectedError.
type Handler interface {
	Handle(ctx context.Context, batch []Record) error
}

// RejectedError says that all of a batch was consumed but for these, by their place in it,
// and why they never can be: they become dead letters.
type RejectedError map[int]error

// Error implements error.
func (r RejectedError) Error() string { return strconv.Itoa(len(r)) + " records are refused" }

// ConsumerConfig is how a Consumer works. The zero value of a field is the usual one.
type ConsumerConfig struct {
	Group  string
	Topics []string

	Batch          int           // records taken at once, of all partitions (500)
	HandlerTries   int           // of one record, before it is a dead letter (5)
	HandlerTimeout time.Duration // of one try (30 s)
	Backoff        time.Duration // after the first failure (100 ms); doubles …
	BackoffMax     time.Duration // … up to this (30 s)
}

const (
	sessionTimeout    = 10 * time.Second
	heartbeatInterval = 3 * time.Second
	partitionsAtOnce  = 8
	roundMax          = 20 * time.Second // a rebalance waits no longer for failing records
	leaveMax          = 5 * time.Second
)

// Consumer reads topics as one member of a group, from their beginning when the group is
// new.
type Consumer struct {
	ConsumerConfig

	client  *Client
	handler Handler
}

// Consumer makes a consumer; Run lets it work.
func (c *Client) Consumer(cfg ConsumerConfig, h Handler) *Consumer {
	usual := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	if cfg.Batch <= 0 {
		cfg.Batch = 500
	}
	if cfg.HandlerTries <= 0 {
		cfg.HandlerTries = 5
	}
	usual(&cfg.HandlerTimeout, 30*time.Second)
	usual(&cfg.Backoff, 100*time.Millisecond)
	usual(&cfg.BackoffMax, 30*time.Second)
	return &Consumer{ConsumerConfig: cfg, client: c, handler: h}
}

// Run consumes until ctx ends. What is in hand then is ended and committed first.
func (c *Consumer) Run(ctx context.Context) error {
	cl, err := kgo.NewClient(append(c.client.options(),
		kgo.ConsumerGroup(c.Group), kgo.ConsumeTopics(c.Topics...),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.SessionTimeout(sessionTimeout), kgo.HeartbeatInterval(heartbeatInterval),
		kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(),
	)...)
	if err != nil {
		return fmt.Errorf("prepare to consume as %s: %w", c.Group, err)
	}
	var watch sync.WaitGroup
	watch.Go(func() { c.watch(ctx) })
	defer watch.Wait()
	defer cl.CloseAllowingRebalance()
	defer func() {
		leave, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveMax)
		defer cancel()
		cl.AllowRebalance()
		_ = cl.LeaveGroupContext(leave) // the session runs out instead
	}()
	log := c.client.Log.With("group", c.Group)
	for failures := 0; ctx.Err() == nil; {
		if err := c.client.ensure(ctx, c.Topics...); err != nil {
			failures++
			log.Warn("Kafka cannot be used now, will try again", "failures", failures, "error", err)
			rest(ctx, backoff(failures, c.Backoff, c.BackoffMax))
			continue
		}
		fetches := cl.PollRecords(ctx, c.Batch)
		fetches.EachError(func(topic string, partition int32, err error) {
			if ctx.Err() == nil {
				log.Warn("a partition cannot be read, will try again", "topic", topic, "partition", partition, "error", err)
			}
		})
		wait, failed := c.round(ctx, cl, fetches)
		cl.AllowRebalance()
		if !failed {
			failures = 0
			continue
		}
		failures++
		rest(ctx, max(wait, backoff(failures, c.Backoff, c.BackoffMax)))
	}
	return nil
}

// outcome is what became of the records of one partition.
type outcome struct {
	done int           // so many from the beginning are ended
	wait time.Duration // what the handler asked for
	err  error         // why the others are not
}

// round handles what was fetched, commits what took effect and goes back to what did
// not. failed: some records wait.
func (c *Consumer) round(ctx context.Context, cl *kgo.Client, fetches kgo.Fetches) (wait time.Duration, failed bool) {
	var all sync.WaitGroup
	var mu sync.Mutex
	slots := make(chan struct{}, partitionsAtOnce)
	var ended []*kgo.Record
	back := map[string]map[int32]kgo.EpochOffset{}
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		if len(p.Records) == 0 {
			return
		}
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			records := recordsOf(p.Records)
			o := c.settle(ctx, records)
			mu.Lock()
			defer mu.Unlock()
			if o.done > 0 {
				ended = append(ended, p.Records[o.done-1])
				c.client.metrics.consumed.WithLabelValues(c.Group, p.Topic).Add(float64(o.done))
			}
			if o.done == len(records) {
				return
			}
			failed, wait = true, max(wait, o.wait)
			turnBack(back, p.Records[o.done])
			c.client.Log.Warn("records wait", "group", c.Group, "topic", p.Topic, "partition", p.Partition,
				"offset", records[o.done].Offset, "records", len(records)-o.done, "error", o.err)
		})
	})
	all.Wait()
	if len(ended) > 0 {
		commit, cancel := context.WithTimeout(context.WithoutCancel(ctx), adminMax)
		defer cancel()
		if err := cl.CommitRecords(commit, ended...); err != nil {
			// They come again, to us or to another member: nothing else would commit the
			// last of a partition.
			c.client.Log.Warn("what was consumed cannot be committed and comes again", "group", c.Group, "error", err)
			failed = true
			fetches.EachPartition(func(p kgo.FetchTopicPartition) {
				if len(p.Records) > 0 {
					turnBack(back, p.Records[0])
				}
			})
		}
	}
	if len(back) > 0 {
		cl.SetOffsets(back)
	}
	return wait, failed
}

// turnBack notes the record that its partition is read from again.
func turnBack(back map[string]map[int32]kgo.EpochOffset, r *kgo.Record) {
	if back[r.Topic] == nil {
		back[r.Topic] = map[int32]kgo.EpochOffset{}
	}
	back[r.Topic][r.Partition] = kgo.EpochOffset{Epoch: -1, Offset: r.Offset}
}

func recordsOf(raw []*kgo.Record) []Record {
	all := make([]Record, len(raw))
	for i, r := range raw {
		all[i] = Record{
			Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Key: string(r.Key),
			ID: header(r, headerID), Time: r.Timestamp, Value: r.Value, raw: r,
		}
	}
	return all
}

func header(r *kgo.Record, key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

// settle has the records of one partition consumed or buried, in order.
func (c *Consumer) settle(ctx context.Context, records []Record) outcome {
	began := c.client.Clock.Now()
	err := c.attempt(ctx, records)
	if err == nil {
		return outcome{done: len(records)}
	}
	if stream.IsUnavailable(err) {
		return outcome{wait: retryAfter(err), err: err}
	}
	for i := range records {
		for try := 1; ; try++ {
			if i > 0 && c.client.Clock.Now().Sub(began) > roundMax {
				return outcome{done: i, err: err}
			}
			if err = c.attempt(ctx, records[i:i+1]); err == nil {
				break
			}
			if stream.IsUnavailable(err) || ctx.Err() != nil {
				return outcome{done: i, wait: retryAfter(err), err: err}
			}
			if try >= c.HandlerTries {
				if err = c.bury(ctx, &records[i], err, try); err != nil {
					return outcome{done: i, err: err}
				}
				break
			}
			rest(ctx, backoff(try, c.Backoff, c.BackoffMax))
		}
	}
	return outcome{done: len(records)}
}

// attempt has records consumed and buries what the handler rejects.
func (c *Consumer) attempt(ctx context.Context, records []Record) error {
	err := c.call(ctx, records)
	rejected, ok := errors.AsType[RejectedError](err)
	if !ok {
		return err
	}
	for i := range records {
		if why := rejected[i]; why != nil {
			if err := c.bury(ctx, &records[i], why, 1); err != nil {
				return err
			}
		}
	}
	return nil
}

// call gives records to the handler, in a span when one of them was sampled. A panic is a
// failure like others. A handler that works when ctx ends may end what it does.
func (c *Consumer) call(ctx context.Context, records []Record) (err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.HandlerTimeout)
	defer cancel()
	links := make([]trace.Context, len(records))
	for i := range records {
		links[i] = trace.Parse(header(records[i].raw, headerTrace))
	}
	ctx, span := c.client.Tracer.StartBatch(ctx, "process "+c.Group, links,
		append(trace.Messaging("kafka", records[0].Topic, c.Group), trace.Messages(len(records)))...)
	defer span.End()
	defer func() {
		if p := recover(); p != nil {
			c.client.Log.Error("a handler panics", "group", c.Group, "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("handler panics: %v", p)
		}
		span.Fail(err)
	}()
	return c.handler.Handle(ctx, records)
}

const retryAfterMax = 5 * time.Minute

// retryAfter is how long whoever was out of reach asked us to wait.
func retryAfter(err error) time.Duration {
	if f, ok := fault.From(err); ok {
		return min(f.RetryAfter, retryAfterMax)
	}
	return 0
}

// watch keeps the metric of the group's lag.
func (c *Consumer) watch(ctx context.Context) {
	for ctx.Err() == nil {
		if lag, err := c.Lag(ctx); err == nil {
			for topic, n := range lag {
				c.client.metrics.lag.WithLabelValues(c.Group, topic).Set(float64(n))
			}
		}
		rest(ctx, lookEvery)
	}
}

// committed gives what a group has committed; nothing for one that never did.
func (c *Client) committed(ctx context.Context, group string) (kadm.OffsetResponses, error) {
	offsets, err := c.admin.FetchOffsets(ctx, group)
	if errors.Is(err, kerr.GroupIDNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("ask Kafka for what %s has committed: %w", group, err)
	}
	return offsets, nil
}

// Lag is how many records of each topic the group has not committed.
func (c *Consumer) Lag(ctx context.Context) (map[string]int64, error) {
	ctx, cancel := context.WithTimeout(ctx, adminMax)
	defer cancel()
	ends, err := c.client.admin.ListEndOffsets(ctx, c.Topics...)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("ask Kafka for the end of topics: %w", err)
	}
	starts, err := c.client.admin.ListStartOffsets(ctx, c.Topics...)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("ask Kafka for the start of topics: %w", err)
	}
	committed, err := c.client.committed(ctx, c.Group)
	if err != nil {
		return nil, err
	}
	lag := map[string]int64{}
	for _, topic := range c.Topics {
		lag[topic] = 0
		for partition, end := range ends[topic] {
			from := starts[topic][partition].Offset
			if at, ok := committed.Lookup(topic, partition); ok {
				from = max(from, at.At)
			}
			lag[topic] += max(0, end.Offset-from)
		}
	}
	return lag, nil
}
