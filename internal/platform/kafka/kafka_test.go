package kafka

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/lease"
	"github.com/chopmark/chopmark/internal/platform/outbox"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/platform/sqldb/sqldbtest"
	"github.com/chopmark/chopmark/internal/platform/stream"
	"github.com/chopmark/chopmark/internal/platform/trace"
	"github.com/chopmark/chopmark/test/servers"
)

const (
	topic    = "code.generated"
	source   = "https://codes.example"
	patience = time.Minute
)

func open(t *testing.T, b *servers.Broker, topics ...string) *Client {
	t.Helper()
	c, err := Open(t.Context(), Config{Address: Address{Brokers: []string{b.Addr}}, Topics: topics})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// until waits for a condition that something else brings about.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for !ok() {
		if rest(ctx, 20*time.Millisecond); ctx.Err() != nil {
			t.Fatalf("gave up waiting until %s", what)
		}
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	ca := servers.Certificate(t).CA
	for text, want := range map[string]struct {
		brokers []string
		tls     bool
		sasl    string
	}{
		"a:1":                                  {brokers: []string{"a:1"}},
		"a:1,[::1]:65535":                      {brokers: []string{"a:1", "[::1]:65535"}},
		"kafka://a:1,b:2":                      {brokers: []string{"a:1", "b:2"}},
		"kafkas://a:1":                         {brokers: []string{"a:1"}, tls: true},
		"kafkas://a:1?ca=" + ca:                {brokers: []string{"a:1"}, tls: true},
		"kafka://u:p%40@a:1":                   {brokers: []string{"a:1"}, sasl: "SCRAM-SHA-512"},
		"kafkas://u:a/b:c@d@a:1":               {brokers: []string{"a:1"}, tls: true, sasl: "SCRAM-SHA-512"},
		"kafkas://u:p@a:1?sasl=plain&ca=" + ca: {brokers: []string{"a:1"}, tls: true, sasl: "PLAIN"},
		"kafka://u:p@a:1?sasl=scram-sha-256":   {brokers: []string{"a:1"}, sasl: "SCRAM-SHA-256"},
	} {
		a, err := Parse(text)
		name := ""
		if a.sasl != nil {
			name = a.sasl.Name()
		}
		if err != nil || !slices.Equal(a.Brokers, want.brokers) || (a.TLS != nil) != want.tls || name != want.sasl {
			t.Errorf("%s: %+v, %v", text, a, err)
		}
	}
	for _, text := range []string{
		"", "a", ":1", "a:", "a:0", "a:65536", "a:1,", "a:x", "http://a:1", "kafka://", "kafka://:sesame@a:1", "kafka://u:@a:1", "kafka://u@a:1",
		"kafka://u:sesame%zz@a:1", "kafka://u:sesame@a:1?sasl=plain", "kafka://u:sesame@a:1?sasl=gssapi", "kafka://a:1?ca=" + ca, "kafkas://a:1?sasl=plain",
		"kafkas://u:sesame@a:1?x=1", "kafkas://u:sesame@a:1?ca=" + ca + "&ca=" + ca, "kafkas://u:sesame@a:1?ca=" + ca + ".gone", "kafkas://u:sesame@a:1?%zz",
	} {
		if a, err := Parse(text); err == nil || strings.Contains(err.Error(), "sesame") {
			t.Errorf("%q: %+v, %v", text, a, err)
		}
	}
}

// TestTLS publishes over TLS, and kcat reads it over TLS.
func TestTLS(t *testing.T) {
	t.Parallel()
	files := servers.Certificate(t)
	b := servers.SecureKafka(t, files, false)
	address, err := Parse("kafkas://" + b.Addr + "?ca=" + files.CA)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Open(t.Context(), Config{Address: address})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	all := publish(t, c, 3, 5)
	if lines := b.Kcat("%k %s", topic); len(lines) != len(all) {
		t.Errorf("kcat reads %d records of %d", len(lines), len(all))
	}
}

// TestSecure publishes and consumes over TLS, in each way to sign in, and is not let in
// with another authority or password.
func TestSecure(t *testing.T) {
	t.Parallel()
	files := servers.Certificate(t)
	b := servers.SecureKafka(t, files, true)
	at := func(scheme, password, settings string) *Client {
		t.Helper()
		address, err := Parse(scheme + "://" + servers.KafkaUser + ":" + url.PathEscape(password) + "@" + b.Addr + "?" + settings)
		if err != nil {
			t.Fatal(err)
		}
		c, err := Open(t.Context(), Config{Address: address})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		return c
	}
	for _, way := range []string{"sasl=plain", "sasl=scram-sha-256", "sasl=scram-sha-512"} {
		c := at("kafkas", servers.KafkaPassword, way+"&ca="+files.CA)
		publish(t, c, 3, 5)
		seen := newEffects()
		cfg := quick()
		cfg.Group = "group-" + way[5:]
		consumer := c.Consumer(cfg, handlerFunc(func(_ context.Context, batch []Record) error { seen.add(batch); return nil }))
		stop := consume(t, consumer)
		drained(t, consumer)
		stop()
		if seen.count() == 0 {
			t.Errorf("%s: nothing was consumed", way)
		}
	}
	for name, c := range map[string]*Client{
		"another password":  at("kafkas", "wrong", "ca="+files.CA),
		"another authority": at("kafkas", servers.KafkaPassword, "ca="+servers.Certificate(t).CA),
		"no authority":      at("kafkas", servers.KafkaPassword, ""),
		"in clear":          at("kafka", servers.KafkaPassword, ""),
	} {
		if err := c.Publish(t.Context(), []Message{{Topic: topic, Brand: 1, ID: "x", Value: []byte("{}")}}); !stream.IsUnavailable(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestFormOnTheWire reads what was published with another client.
func TestFormOnTheWire(t *testing.T) {
	t.Parallel()
	b := servers.Kafka(t, 3)
	c := open(t, b, topic)
	at := time.Date(2026, 11, 21, 4, 55, 14, 997_995_000, time.UTC)
	parent := trace.Context{ID: [16]byte{1, 15: 2}, Span: [8]byte{3, 7: 4}}
	var messages []Message
	var want []string
	for brand := range ids.BrandID(40) {
		brand += 1001
		m := Message{Topic: topic, Brand: brand, ID: fmt.Sprint("evt_", brand), Time: at, Value: []byte(`{"a":"茶"}`)}
		headers := fmt.Sprintf("event_id=evt_%d,timestamp=%d", brand, at.UnixMilli())
		if brand%2 == 0 {
			m.Trace = parent
			headers += ",traceparent=00-01000000000000000000000000000002-0300000000000004-01"
		}
		messages = append(messages, m)
		want = append(want, fmt.Sprintf("%s %d %d %s %d %s", topic, murmur2(strconv.Itoa(int(brand)))%Partitions, brand, headers, at.UnixMilli(), m.Value))
	}
	if err := c.Publish(t.Context(), messages); err != nil {
		t.Fatal(err)
	}
	got := b.Kcat("%t %p %k %h %T %s", topic)
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	made, err := c.admin.Metadata(t.Context(), topic)
	if err != nil || len(made.Topics[topic].Partitions) != Partitions || len(made.Topics[topic].Partitions[0].Replicas) != 3 {
		t.Errorf("the topic was made as %+v, %v", made.Topics[topic], err)
	}
}

// murmur2 is the hash of the Java client, written from its source and not from ours.
func murmur2(key string) uint32 {
	const m, seed = 0x5bd1e995, 0x9747b28c
	h := uint32(seed) ^ uint32(len(key))
	b := []byte(key)
	for ; len(b) >= 4; b = b[4:] {
		k := uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
		k *= m
		k ^= k >> 24
		h = h*m ^ k*m
	}
	for i := range b {
		h ^= uint32(b[i]) << (8 * i)
	}
	if len(b) > 0 {
		h *= m
	}
	h ^= h >> 13
	h *= m
	return (h ^ h>>15) & 0x7fffffff
}

// facts is an outbox, and what was told in it.
type facts struct {
	t    *testing.T
	open func() *sqldb.DB // as another process does
	db   *sqldb.DB
	told map[ids.BrandID]int // events of each brand, numbered from 1
}

func newFacts(t *testing.T, fresh sqldbtest.Fresh) *facts {
	t.Helper()
	f := &facts{t: t, open: fresh(t), told: map[ids.BrandID]int{}}
	f.db = f.open()
	if err := errors.Join(f.db.Migrate(t.Context(), "outbox", outbox.Schema()), f.db.Migrate(t.Context(), "lease", lease.Schema())); err != nil {
		t.Fatal(err)
	}
	return f
}

// tell commits one transaction with some events of a brand.
func (f *facts) tell(brand ids.BrandID, n int) {
	f.t.Helper()
	var events []outbox.Event
	for range n {
		f.told[brand]++
		events = append(events, outbox.Event{Type: topic, BrandID: brand, Subject: "s", Data: json.RawMessage(fmt.Sprintf(`{"n":%d}`, f.told[brand]))})
	}
	err := f.db.Write(f.t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
		s, err := outbox.Commit(ctx, tx, ids.ShardOf(brand), clock.System{}.Now())
		return errors.Join(err, outbox.Append(ctx, tx, s, events...))
	})
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *facts) tellMany(transactions int) {
	for i := range transactions {
		f.tell(ids.BrandID(1001+i%19), 1+i%3)
	}
}

// relay makes one of a process of its own.
func (f *facts) relay(c *Client, owner string) *Relay {
	db := f.open()
	return NewRelay(c, outbox.New(sqldb.One(db)), lease.New(db, owner, clock.System{}), "kafka", source)
}

func (f *facts) delivered() func() bool {
	o := outbox.New(sqldb.One(f.db))
	return func() bool {
		b, err := o.Backlog(f.t.Context(), "kafka")
		return err == nil && b.Events == 0
	}
}

// check reads the topic with another client: every event is there, those of a brand in
// one partition and in their order by first appearance. It gives how many came again.
func (f *facts) check(b *servers.Broker) (repeats int) {
	f.t.Helper()
	seen := map[ids.BrandID]int{}
	id, partition := map[string]string{}, map[string]string{}
	for _, line := range b.Kcat("%p %k %s", topic) {
		parts := strings.SplitN(line, " ", 3)
		var e outbox.CloudEvent
		var data struct{ N int }
		if err := errors.Join(json.Unmarshal([]byte(parts[2]), &e), json.Unmarshal(e.Data, &data)); err != nil {
			f.t.Fatalf("%s: %v", line, err)
		}
		if e.Source != source || e.Type != topic || parts[1] != strconv.Itoa(int(e.BrandID)) {
			f.t.Fatalf("wrong event: %s", line)
		}
		if p := partition[parts[1]]; p != "" && p != parts[0] {
			f.t.Fatalf("brand %s lies in partitions %s and %s", parts[1], p, parts[0])
		}
		partition[parts[1]] = parts[0]
		name := fmt.Sprint(e.BrandID, "-", data.N)
		switch {
		case data.N == seen[e.BrandID]+1:
			seen[e.BrandID], id[name] = data.N, e.ID
		case data.N <= seen[e.BrandID]:
			repeats++
			if id[name] != e.ID {
				f.t.Fatalf("event %s came as %s and as %s", name, id[name], e.ID)
			}
		default:
			f.t.Fatalf("brand %d: event %d came after %d", e.BrandID, data.N, seen[e.BrandID])
		}
	}
	if diff := cmp.Diff(f.told, seen); diff != "" {
		f.t.Errorf("told and come (-told +come):\n%s", diff)
	}
	return repeats
}

// running lets something run until stop is called or the test ends.
func running(t *testing.T, run func(context.Context)) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		run(ctx)
	}()
	stop = func() {
		cancel()
		<-done
	}
	t.Cleanup(stop)
	return stop
}

// TestBrokerDown kills the broker while facts are told, goes on telling, and starts it
// again on the same port, some times over. The first time it is away from the start.
func TestBrokerDown(t *testing.T) {
	t.Parallel()
	b, f := servers.Kafka(t, 1), newFacts(t, sqldbtest.SQLite)
	b.Kill()
	c := open(t, b, topic)
	r := f.relay(c, "a")
	f.tellMany(20)
	running(t, r.Run)
	for range 3 {
		b.Start()
		f.tellMany(60)
		r.Wake()
		sent := c.kgo.BufferedProduceRecords
		until(t, "the relay sends or has sent", func() bool { return sent() > 0 || f.delivered()() })
		b.Kill()
		f.tellMany(40)
		if err := c.Publish(t.Context(), []Message{{Topic: topic, Brand: 1, ID: "x", Value: []byte("{}")}}); !stream.IsUnavailable(err) {
			t.Errorf("without a broker Publish says %v", err)
		}
	}
	b.Start()
	until(t, "all is delivered", f.delivered())
	t.Logf("%d events came again", f.check(b))
}

// TestRelayDies has relays die between the acknowledgement and the note of it: the next
// one sends the same again.
func TestRelayDies(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, fresh sqldbtest.Fresh) {
		t.Parallel()
		relayDies(t, newFacts(t, fresh))
	})
}

func relayDies(t *testing.T, f *facts) {
	b := servers.Kafka(t, 1)
	c := open(t, b)
	f.tellMany(50)
	for i := range 3 {
		r := f.relay(c, fmt.Sprint("dies", i))
		token, ok, err := r.leases.Hold(t.Context(), r.leaseName(), time.Nanosecond) // it does not live to give it back
		if err != nil || !ok {
			t.Fatal(ok, err)
		}
		o := outbox.New(sqldb.One(f.db))
		at, err := o.Resume(t.Context(), "kafka", token)
		if err != nil {
			t.Fatal(err)
		}
		events, _, err := o.Read(t.Context(), at, 30)
		if err != nil || len(events) == 0 {
			t.Fatal(events, err)
		}
		if err := r.deliver(t.Context(), events); err != nil {
			t.Fatal(err)
		}
		f.tellMany(10)
	}
	running(t, f.relay(c, "lives").Run)
	until(t, "all is delivered", f.delivered())
	if f.check(b) == 0 {
		t.Error("no event came again: the relays did not die where they should")
	}
}

// TestTwoRelays has relays take over from each other while facts are told: two at once,
// one that stops, one that lost its lease and does not know.
func TestTwoRelays(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, fresh sqldbtest.Fresh) {
		t.Parallel()
		twoRelays(t, newFacts(t, fresh))
	})
}

func twoRelays(t *testing.T, f *facts) {
	b := servers.Kafka(t, 1)
	c := open(t, b)
	stop := running(t, f.relay(c, "a").Run)
	running(t, f.relay(c, "b").Run)
	f.tellMany(50)
	until(t, "all is delivered", f.delivered())
	stop()
	f.tellMany(50)
	until(t, "all is delivered", f.delivered())
	const later = 1 << 40 // the token of who has taken over
	o := outbox.New(sqldb.One(f.db))
	at, err := o.Resume(t.Context(), "kafka", later)
	if err != nil {
		t.Fatal(err)
	}
	before := len(b.Kcat("%k", topic))
	f.tellMany(50)
	until(t, "the relay has sent what it cannot note", func() bool { return len(b.Kcat("%k", topic)) > before })
	if now, err := o.Resume(t.Context(), "kafka", later); err != nil || now != at {
		t.Errorf("a relay that was fenced off moved the positions from %v to %v, %v", at, now, err)
	}
	events, next, err := o.Read(t.Context(), at, 1000)
	if err := errors.Join(err, f.relay(c, "later").deliver(t.Context(), events), o.Advance(t.Context(), "kafka", later, at, next)); err != nil {
		t.Fatal(err)
	}
	if f.check(b) == 0 || !f.delivered()() {
		t.Error("the one who took over did not go on where the positions stood")
	}
}
