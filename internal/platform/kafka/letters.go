package kafka

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/chopmark/chopmark/internal/platform/stream"
)

// Dead letters of a topic lie in the topic of its name with this behind it: with the same
// key, value and headers, and what went wrong in headers of their own.
const lettersSuffix = ".dlq"

// The headers of a dead letter, beside the event's own.
const (
	headerGroup     = "dlq_group"
	headerReason    = "dlq_reason"
	headerTries     = "dlq_tries"
	headerTopic     = "dlq_topic"
	headerPartition = "dlq_partition"
	headerOffset    = "dlq_offset"
	headerBuriedAt  = "dlq_at"
)

const reasonMax = 1000

// bury keeps a record as a dead letter. Until that is acknowledged the record is not
// ended: its partition waits.
func (c *Consumer) bury(ctx context.Context, r *Record, why error, tries int) error {
	reason := why.Error()
	letter := &kgo.Record{Topic: r.Topic + lettersSuffix, Key: r.raw.Key, Value: r.raw.Value, Timestamp: r.raw.Timestamp}
	for _, h := range r.raw.Headers {
		if !strings.HasPrefix(h.Key, "dlq_") {
			letter.Headers = append(letter.Headers, h)
		}
	}
	for _, h := range [][2]string{
		{headerGroup, c.Group}, {headerReason, reason[:min(len(reason), reasonMax)]}, {headerTries, strconv.Itoa(tries)},
		{headerTopic, r.Topic}, {headerPartition, strconv.Itoa(int(r.Partition))}, {headerOffset, strconv.FormatInt(r.Offset, 10)},
		{headerBuriedAt, c.client.Clock.Now().Format(time.RFC3339Nano)},
	} {
		letter.Headers = append(letter.Headers, kgo.RecordHeader{Key: h[0], Value: []byte(h[1])})
	}
	if err := c.client.produce(context.WithoutCancel(ctx), []*kgo.Record{letter}); err != nil {
		return fmt.Errorf("keep dead letter of event %s: %w", r.ID, err)
	}
	c.client.metrics.dead.WithLabelValues(c.Group, r.Topic).Inc()
	c.client.Log.Error("an event cannot be consumed: it is kept as a dead letter", "group", c.Group, "topic", r.Topic,
		"partition", r.Partition, "offset", r.Offset, "event_id", r.ID, "tries", tries, "reason", reason)
	return nil
}

// Replayed is what came of dead letters.
type Replayed struct {
	Consumed int
	Kept     int // failed again, and are dead letters again
}

// Replay gives each of the group's dead letters that are there now to the handler, alone.
// One that fails is buried again with the new reason and one more try. How far it came is
// committed under the group's name with .dlq behind it, so the next Replay goes on from
// there. It may work beside Run.
func (c *Consumer) Replay(ctx context.Context) (sum Replayed, _ error) {
	for _, topic := range c.Topics {
		if err := c.replayTopic(ctx, topic, &sum); err != nil {
			return sum, fmt.Errorf("replay dead letters of %s in %s: %w", c.Group, topic, err)
		}
	}
	return sum, nil
}

func (c *Consumer) replayTopic(ctx context.Context, topic string, sum *Replayed) error {
	letters := topic + lettersSuffix
	if err := c.client.ensure(ctx, letters); err != nil {
		return err
	}
	left, err := c.lettersLeft(ctx, letters)
	if err != nil || len(left) == 0 {
		return err
	}
	from := map[int32]kgo.Offset{}
	for partition, span := range left {
		from[partition] = kgo.NewOffset().At(span.from)
	}
	cl, err := kgo.NewClient(append(c.client.options(), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{letters: from}))...)
	if err != nil {
		return err
	}
	defer cl.Close()
	for len(left) > 0 {
		fetches := cl.PollRecords(ctx, c.Batch)
		if err := fetches.Err(); err != nil {
			return err
		}
		for _, raw := range fetches.Records() {
			span, open := left[raw.Partition]
			if !open {
				continue // buried since we began
			}
			if err := c.replayOne(ctx, topic, raw, sum); err != nil {
				return err
			}
			if raw.Offset+1 >= span.end {
				delete(left, raw.Partition)
			}
		}
	}
	return nil
}

// span is a part of a partition: from, and the first offset behind it.
type span struct{ from, end int64 }

// lettersLeft gives what no Replay has looked at.
func (c *Consumer) lettersLeft(ctx context.Context, letters string) (map[int32]span, error) {
	starts, err := c.client.admin.ListStartOffsets(ctx, letters)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return nil, err
	}
	ends, err := c.client.admin.ListEndOffsets(ctx, letters)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return nil, err
	}
	seen, err := c.client.committed(ctx, c.Group+lettersSuffix)
	if err != nil {
		return nil, err
	}
	left := map[int32]span{}
	for partition, end := range ends[letters] {
		s := span{starts[letters][partition].Offset, end.Offset}
		if at, ok := seen.Lookup(letters, partition); ok {
			s.from = max(s.from, at.At)
		}
		if s.from < s.end {
			left[partition] = s
		}
	}
	return left, nil
}

// replayOne tries one letter, if it is the group's, and notes that it was looked at.
func (c *Consumer) replayOne(ctx context.Context, topic string, raw *kgo.Record, sum *Replayed) error {
	if header(raw, headerGroup) == c.Group {
		r := recordsOf([]*kgo.Record{raw})[0]
		r.Topic = topic
		tries, _ := strconv.Atoi(header(raw, headerTries)) // ours; 0 for what is not
		err := c.call(ctx, []Record{r})
		if rejected, ok := errors.AsType[RejectedError](err); ok {
			err = rejected[0]
		}
		switch {
		case err == nil:
			sum.Consumed++
		case stream.IsUnavailable(err):
			return err
		default:
			if err := c.bury(ctx, &r, err, tries+1); err != nil {
				return err
			}
			sum.Kept++
		}
	}
	done := kadm.Offsets{}
	done.AddOffset(raw.Topic, raw.Partition, raw.Offset+1, -1)
	return c.client.admin.CommitAllOffsets(ctx, c.Group+lettersSuffix, done)
}
