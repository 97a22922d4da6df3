package kafka

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/stream"
	"github.com/chopmark/chopmark/test/servers"
)

const group = "analytics-group"

type handlerFunc func(ctx context.Context, batch []Record) error

// Handle implements Handler.
func (f handlerFunc) Handle(ctx context.Context, batch []Record) error { return f(ctx, batch) }

// publish sends events of some brands, numbered by brand: "brand-n".
func publish(t *testing.T, c *Client, brands, each int) (all []string) {
	t.Helper()
	var messages []Message
	for n := range each {
		for b := range brands {
			id := fmt.Sprint(1001+b, "-", n)
			messages = append(messages, Message{Topic: topic, Brand: ids.BrandID(1001 + b), ID: id, Time: time.Now(), Value: []byte(id)})
			all = append(all, id)
		}
	}
	if err := c.Publish(t.Context(), messages); err != nil {
		t.Fatal(err)
	}
	slices.Sort(all)
	return all
}

// effects remembers what was consumed.
type effects struct {
	mu    sync.Mutex
	order map[string][]int // guarded by mu: of each brand, by first appearance
	times map[string]int   // guarded by mu: of each event
}

func newEffects() *effects { return &effects{order: map[string][]int{}, times: map[string]int{}} }

func (e *effects) add(batch []Record) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := range batch {
		if e.times[batch[i].ID]++; e.times[batch[i].ID] == 1 {
			brand, n, _ := strings.Cut(batch[i].ID, "-")
			number, _ := strconv.Atoi(n)
			e.order[brand] = append(e.order[brand], number)
		}
	}
}

func (e *effects) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.times)
}

func (e *effects) ids() (all []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for id := range e.times {
		all = append(all, id)
	}
	slices.Sort(all)
	return all
}

func (e *effects) checkOrder(t *testing.T) {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	for brand, order := range e.order {
		if !slices.IsSorted(order) {
			t.Errorf("brand %s was consumed as %v", brand, order)
		}
	}
}

func consume(t *testing.T, c *Consumer) (stop func()) {
	t.Helper()
	return running(t, func(ctx context.Context) {
		if err := c.Run(ctx); err != nil {
			t.Error(err)
		}
	})
}

func quick() ConsumerConfig {
	return ConsumerConfig{Group: group, Topics: []string{topic}, HandlerTries: 3, Backoff: time.Millisecond, BackoffMax: 50 * time.Millisecond}
}

// drained waits until the group has committed everything.
func drained(t *testing.T, c *Consumer) {
	t.Helper()
	until(t, "the group has committed everything", func() bool {
		lag, err := c.Lag(t.Context())
		return err == nil && lag[topic] == 0
	})
}

const envCrash = "CHOPMARK_TEST_CONSUMER"

// TestConsumerCrash kills consumers, as processes of their own, between the effect and
// the commit. The effect is a file with the event's name; it happens once, and what was
// not committed comes again.
func TestConsumerCrash(t *testing.T) {
	t.Parallel()
	b := servers.Kafka(t, 1)
	c := open(t, b)
	all := publish(t, c, 5, 20)
	dir := t.TempDir()
	for range 2 {
		child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestCrashingConsumer$")
		child.Env = append(os.Environ(), envCrash+"="+b.Addr+" "+dir)
		out, err := child.CombinedOutput()
		if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("the consumer did not die of its kill: %v\n%s", err, out)
		}
	}
	made, err := os.ReadDir(dir)
	if err != nil || len(made) == 0 || len(made) == len(all) {
		t.Fatalf("the consumers that died made %d effects of %d, %v", len(made), len(all), err)
	}
	var mu sync.Mutex
	again := 0
	consumer := c.Consumer(quick(), handlerFunc(func(_ context.Context, batch []Record) error {
		repeats, err := effect(dir, batch)
		mu.Lock()
		again += repeats
		mu.Unlock()
		return err
	}))
	stop := consume(t, consumer)
	drained(t, consumer)
	stop()
	if again == 0 {
		t.Error("nothing came again: the consumers did not die between effect and commit")
	}
	made, err = os.ReadDir(dir)
	var names []string
	for _, m := range made {
		names = append(names, m.Name())
	}
	if diff := cmp.Diff(all, names); diff != "" || err != nil {
		t.Errorf("%v (-published +effects):\n%s", err, diff)
	}
}

// effect is one that is known by the event's id.
func effect(dir string, batch []Record) (repeats int, _ error) {
	for i := range batch {
		f, err := os.OpenFile(filepath.Join(dir, batch[i].ID), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		switch {
		case errors.Is(err, os.ErrExist):
			repeats++
			continue
		case err != nil:
			return repeats, err
		}
		if err := f.Close(); err != nil {
			return repeats, err
		}
	}
	return repeats, nil
}

// TestCrashingConsumer is the process that TestConsumerCrash kills; it does nothing else.
func TestCrashingConsumer(t *testing.T) {
	addr, dir, found := strings.Cut(os.Getenv(envCrash), " ")
	if !found {
		return // part of the whole suite: TestConsumerCrash starts it
	}
	c, err := Open(t.Context(), Config{Address: Address{Brokers: []string{addr}}})
	if err != nil {
		t.Fatal(err)
	}
	cfg := quick()
	cfg.Batch = 10
	err = c.Consumer(cfg, handlerFunc(func(_ context.Context, batch []Record) error {
		if _, err := effect(dir, batch); err != nil {
			return err
		}
		return syscall.Kill(os.Getpid(), syscall.SIGKILL)
	})).Run(t.Context())
	t.Fatal("outlived its kill", err)
}

// TestUnavailableWaits has the handler's store be away, then the broker, and the broker
// again between an effect and its commit: nothing is buried, nothing is lost, and
// everything is committed in the end without a further record.
func TestUnavailableWaits(t *testing.T) {
	t.Parallel()
	b := servers.Kafka(t, 1)
	c := open(t, b)
	all := publish(t, c, 7, 30)
	seen := newEffects()
	calls := 0
	var once sync.Once
	sent, killed := make(chan struct{}), make(chan struct{})
	consumer := c.Consumer(quick(), handlerFunc(func(_ context.Context, batch []Record) error {
		seen.mu.Lock()
		calls++
		away := calls < 40 && calls%3 != 0
		seen.mu.Unlock()
		if away {
			return fmt.Errorf("store: %w", stream.Unavailable(errors.New("away")))
		}
		seen.add(batch)
		if batch[0].ID == "2001-0" {
			once.Do(func() {
				<-sent
				b.Kill()
				close(killed)
			})
		}
		return nil
	}))
	stop := consume(t, consumer)
	drained(t, consumer)
	b.Kill()
	b.Start()
	all = append(all, publishMore(t, c)...)
	slices.Sort(all)
	close(sent)
	<-killed
	if seen.count() != len(all) {
		t.Errorf("%d of %d came", seen.count(), len(all))
	}
	b.Start()
	drained(t, consumer)
	stop()
	if seen.times["2001-0"] < 2 {
		t.Error("what could not be committed did not come again")
	}
	if diff := cmp.Diff(all, seen.ids()); diff != "" {
		t.Errorf("(-published +consumed):\n%s", diff)
	}
	seen.checkOrder(t)
	if topics, err := c.admin.ListTopics(t.Context()); err != nil || topics.Has(topic+lettersSuffix) {
		t.Errorf("there are dead letters, %v", err)
	}
}

func publishMore(t *testing.T, c *Client) []string {
	t.Helper()
	m := Message{Topic: topic, Brand: 2001, ID: "2001-0", Time: time.Now(), Value: []byte("x")}
	until(t, "the broker is back", func() bool { return c.Publish(t.Context(), []Message{m}) == nil })
	return []string{m.ID}
}

// TestDeadLetters has some records fail always and some rejected at once: the others are
// consumed in order, and the letters can be replayed, those of the group only.
func TestDeadLetters(t *testing.T) {
	t.Parallel()
	b := servers.Kafka(t, 1)
	c := open(t, b)
	all := publish(t, c, 5, 20)
	seen := newEffects()
	healed := false
	handler := handlerFunc(func(_ context.Context, batch []Record) error {
		rejected := RejectedError{}
		for i := range batch {
			n := strings.Split(batch[i].ID, "-")[1]
			switch {
			case healed && n != "13":
			case n == "7":
				panic("poison")
			case n == "13":
				rejected[i] = errors.New("never")
			}
		}
		for i := range batch {
			if rejected[i] == nil {
				seen.add(batch[i : i+1])
			}
		}
		if len(rejected) > 0 {
			return rejected
		}
		return nil
	})
	consumer := c.Consumer(quick(), handler)
	stop := consume(t, consumer)
	drained(t, consumer)
	stop()
	if seen.count() != len(all)-10 {
		t.Errorf("%d records were consumed of %d", seen.count(), len(all))
	}
	seen.checkOrder(t)
	letters := b.Kcat("%k %s %h", topic+lettersSuffix)
	for _, l := range letters {
		key, rest, _ := strings.Cut(l, " ")
		tries := map[bool]string{true: "3", false: "1"}[strings.HasPrefix(rest, key+"-7 ")]
		for _, want := range []string{"event_id=" + key + "-", "dlq_group=" + group, "dlq_reason=", "dlq_tries=" + tries, "dlq_topic=" + topic, "dlq_offset=", "dlq_partition=", "dlq_at="} {
			if !strings.Contains(l, want) {
				t.Errorf("letter %s lacks %s", l, want)
			}
		}
	}
	if len(letters) != 10 {
		t.Errorf("%d letters: %v", len(letters), letters)
	}
	other := quick()
	other.Group = "audit-group"
	if sum, err := c.Consumer(other, handler).Replay(t.Context()); err != nil || sum != (stream.Replayed{}) {
		t.Errorf("another group replayed %+v, %v", sum, err)
	}
	if dead, err := c.Consumer(other, handler).Dead(t.Context(), "", 100); err != nil || len(dead) != 0 {
		t.Errorf("another group has %+v, %v", dead, err)
	}
	checkDead(t, consumer, 10)
	healed = true
	if sum, err := consumer.Replay(t.Context()); err != nil || sum != (stream.Replayed{Consumed: 5, Kept: 5}) {
		t.Errorf("replayed %+v, %v", sum, err)
	}
	if sum, err := consumer.Replay(t.Context()); err != nil || sum != (stream.Replayed{Kept: 5}) {
		t.Errorf("replayed again %+v, %v", sum, err)
	}
	if got := len(b.Kcat("%s", topic+lettersSuffix)); got != 20 {
		t.Errorf("after two replays there are %d letters, want 20", got)
	}
	checkDead(t, consumer, 5)
}

// checkDead lists a group's letters at once and page by page.
func checkDead(t *testing.T, c *Consumer, want int) {
	t.Helper()
	all, err := c.Dead(t.Context(), "", 100)
	if err != nil || len(all) != want {
		t.Fatalf("%d letters, want %d: %v", len(all), want, err)
	}
	var paged []stream.Letter
	for after := ""; ; after = paged[len(paged)-1].ID {
		page, err := c.Dead(t.Context(), after, 3)
		if err != nil {
			t.Fatal(err)
		}
		paged = append(paged, page...)
		if len(page) < 3 {
			break
		}
	}
	if diff := cmp.Diff(all, paged); diff != "" {
		t.Errorf("(-at once +by pages):\n%s", diff)
	}
	for _, l := range all {
		if l.Group != c.Group || l.Reason == "" || l.Tries == 0 || l.BuriedAt.IsZero() || !strings.HasPrefix(l.ID, c.Group+":"+topic+":") || len(l.Value) == 0 {
			t.Errorf("letter %+v", l)
		}
	}
	for _, bad := range []string{"x", c.Group, "other:" + topic + ":0-0", c.Group + ":other:0-0", c.Group + ":" + topic + ":0", c.Group + ":" + topic + ":-1-0", c.Group + ":" + topic + ":0--1"} {
		if _, err := c.Dead(t.Context(), bad, 3); !errors.Is(err, stream.ErrBadLetterID) {
			t.Errorf("behind %q: %v", bad, err)
		}
	}
}

// TestMembersComeAndGo consumes with members that join, leave and fail at random, while
// more is published: every record is consumed or buried, those of a brand in their order.
func TestMembersComeAndGo(t *testing.T) {
	t.Parallel()
	b := servers.Kafka(t, 1)
	c := open(t, b)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	seen := newEffects()
	handler := handlerFunc(func(_ context.Context, batch []Record) error {
		seen.mu.Lock()
		luck := rng.IntN(10)
		seen.mu.Unlock()
		switch luck {
		case 0:
			return errors.New("bad luck")
		case 1:
			return stream.Unavailable(errors.New("away"))
		}
		seen.add(batch)
		return nil
	})
	cfg := quick()
	cfg.HandlerTries, cfg.Batch = 20, 50
	stay := c.Consumer(cfg, handler)
	consume(t, stay)
	published := map[string]bool{}
	for round := range 3 {
		stop := consume(t, c.Consumer(cfg, handler))
		for _, id := range publish(t, c, 11, 20*(round+1)) {
			published[id] = true
		}
		until(t, "some came", func() bool { return seen.count() > len(published)/2 })
		stop()
	}
	drained(t, stay)
	if seen.count() != len(published) {
		t.Errorf("%d of %d records were consumed", seen.count(), len(published))
	}
	seen.checkOrder(t)
}
