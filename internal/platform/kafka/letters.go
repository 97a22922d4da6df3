package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
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

// Replay gives each of the group's dead letters that are there now to the handler, alone.
// One that fails is buried again with the new reason and one more try. How far it came is
// committed under the group's name with .dlq behind it, so the next Replay goes on from
// there. It may work beside Run.
func (c *Consumer) Replay(ctx context.Context) (sum stream.Replayed, _ error) {
	for _, topic := range c.Topics {
		if err := c.replayTopic(ctx, topic, &sum); err != nil {
			return sum, fmt.Errorf("replay dead letters of %s in %s: %w", c.Group, topic, err)
		}
	}
	return sum, nil
}

func (c *Consumer) replayTopic(ctx context.Context, topic string, sum *stream.Replayed) error {
	letters := topic + lettersSuffix
	if err := c.client.ensure(ctx, letters); err != nil {
		return err
	}
	left, err := c.lettersLeft(ctx, letters)
	if err != nil || len(left) == 0 {
		return err
	}
	return c.eachLetter(ctx, letters, left, func(raw *kgo.Record) (bool, error) {
		return true, c.replayOne(ctx, topic, raw, sum)
	})
}

// eachLetter gives fn what is left, each partition in its order, until fn wants no more.
func (c *Consumer) eachLetter(ctx context.Context, letters string, left map[int32]span, fn func(*kgo.Record) (more bool, _ error)) error {
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
			if !open || raw.Offset >= span.end {
				continue // buried since we began
			}
			if more, err := fn(raw); err != nil || !more {
				return err
			}
			if raw.Offset+1 >= span.end {
				delete(left, raw.Partition)
			}
		}
	}
	return nil
}

// Dead lists up to limit of the group's dead letters that no Replay has looked at, by
// topic, partition and offset, behind the one with the id after.
func (c *Consumer) Dead(ctx context.Context, after string, limit int) ([]stream.Letter, error) {
	ctx, cancel := context.WithTimeout(ctx, deliveryMax)
	defer cancel()
	from, err := c.parseLetterID(after)
	if err != nil {
		return nil, err
	}
	var all []stream.Letter
	for _, topic := range c.Topics[from.topic:] {
		if err := c.deadOf(ctx, topic, from, limit, &all); err != nil {
			return nil, stream.Unavailable(fmt.Errorf("list dead letters of %s in %s: %w", c.Group, topic, err))
		}
		from = letterPlace{}
	}
	return all, nil
}

func (c *Consumer) deadOf(ctx context.Context, topic string, from letterPlace, limit int, all *[]stream.Letter) error {
	letters := topic + lettersSuffix
	if err := c.client.ensure(ctx, letters); err != nil {
		return err
	}
	left, err := c.lettersLeft(ctx, letters)
	if err != nil {
		return err
	}
	for _, partition := range slices.Sorted(maps.Keys(left)) {
		s := left[partition]
		if partition == from.partition {
			s.from = max(s.from, from.offset)
		}
		if partition < from.partition || s.from >= s.end {
			continue
		}
		err := c.eachLetter(ctx, letters, map[int32]span{partition: s}, func(raw *kgo.Record) (bool, error) {
			if header(raw, headerGroup) == c.Group {
				*all = append(*all, c.letter(topic, raw))
			}
			return len(*all) < limit, nil
		})
		if err != nil || len(*all) == limit {
			return err
		}
	}
	return nil
}

func (c *Consumer) letter(topic string, raw *kgo.Record) stream.Letter {
	tries, _ := strconv.Atoi(header(raw, headerTries)) // ours
	at, _ := time.Parse(time.RFC3339Nano, header(raw, headerBuriedAt))
	return stream.Letter{
		ID: fmt.Sprintf("%s:%s:%d-%d", c.Group, topic, raw.Partition, raw.Offset), Group: c.Group,
		Value: raw.Value, Reason: header(raw, headerReason), Tries: tries, BuriedAt: at.UTC(),
	}
}

// letterPlace is where a list goes on.
type letterPlace struct {
	topic     int // of the consumer's
	partition int32
	offset    int64
}

// parseLetterID gives the place behind a letter.
func (c *Consumer) parseLetterID(id string) (p letterPlace, _ error) {
	if id == "" {
		return p, nil
	}
	parts := strings.Split(id, ":")
	if len(parts) != 3 || parts[0] != c.Group {
		return p, stream.ErrBadLetterID
	}
	left, right, _ := strings.Cut(parts[2], "-")
	partition, err1 := strconv.ParseInt(left, 10, 32)
	offset, err2 := strconv.ParseInt(right, 10, 64)
	p = letterPlace{slices.Index(c.Topics, parts[1]), int32(partition), offset + 1}
	if err1 != nil || err2 != nil || p.topic < 0 || partition < 0 || offset < 0 {
		return letterPlace{}, stream.ErrBadLetterID
	}
	return p, nil
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
func (c *Consumer) replayOne(ctx context.Context, topic string, raw *kgo.Record, sum *stream.Replayed) error {
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
