package scankafka

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/kafka"
	"github.com/chopmark/chopmark/internal/platform/outbox"
	"github.com/chopmark/chopmark/internal/platform/search"
	"github.com/chopmark/chopmark/internal/platform/search/searchtest"
	"github.com/chopmark/chopmark/internal/platform/stream"
	"github.com/chopmark/chopmark/internal/platform/stream/streamkv"
	"github.com/chopmark/chopmark/internal/scan"
	"github.com/chopmark/chopmark/internal/scan/scansql"
	"github.com/chopmark/chopmark/internal/scan/scantest"
	"github.com/chopmark/chopmark/internal/verify/verifyevent"
	"github.com/chopmark/chopmark/test/servers"
)

const source = "https://codes.example"

type batches struct{}

// BatchAt implements Batches.
func (batches) BatchAt(_ context.Context, first ids.Serial) (scan.BatchInfo, bool, error) {
	return scan.BatchInfo{ID: ids.BatchID(fmt.Sprint("bat_", uint64(first))), No: "YL-2026-0917", First: first}, true, nil
}

// world is a log of sightings, on the disk, and a broker.
type world struct {
	t       *testing.T
	broker  *servers.Broker
	client  *kafka.Client
	dir     string
	log     *streamkv.Log
	group   *streamkv.Group
	told    *scantest.Log
	traffic scantest.Traffic
	at      time.Time
	flushed int
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, dir: filepath.Join(t.TempDir(), "log"), broker: servers.Kafka(t, 1), told: scantest.NewLog(), at: scantest.Start(), traffic: scantest.Traffic{Brands: 5, Batches: 2, PerItem: 3}}
	var err error
	if w.client, err = kafka.Open(t.Context(), kafka.Config{Address: kafka.Address{Brokers: []string{w.broker.Addr}}}); err != nil {
		t.Fatal(err)
	}
	w.open()
	t.Cleanup(func() {
		w.client.Close()
		if err := w.log.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *world) open() {
	w.t.Helper()
	var err error
	if w.log, err = streamkv.Open(w.dir, streamkv.Options{}); err != nil {
		w.t.Fatal(err)
	}
	if w.group, err = w.log.Group(GroupKafka); err != nil {
		w.t.Fatal(err)
	}
}

// reopen is what a restart of the process does to the log.
func (w *world) reopen() {
	w.t.Helper()
	if err := w.log.Close(); err != nil {
		w.t.Fatal(err)
	}
	w.open()
	w.told.NextGeneration()
}

// scan appends some scans, a few to a record, an hour apart.
func (w *world) scan(n int) {
	w.t.Helper()
	for i := range n {
		w.at = w.at.Add(time.Hour)
		s := w.traffic.Next(w.at)
		if i%10 == 0 {
			s.What |= verifyevent.Traced
			s.Trace = verifyevent.Trace{ID: [16]byte{1, 15: byte(i)}, Span: [8]byte{2}}
		}
		w.told.Scan(s)
		if i%7 == 6 || i == n-1 {
			w.told.Flush()
		}
	}
	for ; w.flushed < len(w.told.Records); w.flushed++ {
		if err := w.log.Append(w.told.Records[w.flushed].At, w.told.Records[w.flushed].Value); err != nil {
			w.t.Fatal(err)
		}
	}
}

// publish runs the group until stop.
func (w *world) publish() (stop func()) {
	p := &Publisher{Client: w.client, Codes: scantest.Codes{}, Batches: batches{}, Source: source}
	return w.running(func(ctx context.Context) error {
		return stream.Run(ctx, stream.Config{
			Wait: 10 * time.Millisecond, Backoff: 10 * time.Millisecond, BackoffMax: 200 * time.Millisecond, Grace: time.Millisecond,
		}, w.group, w.log, scansql.Split, p)
	})
}

func (w *world) running(run func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := run(ctx); err != nil && ctx.Err() == nil {
			w.t.Error(err)
		}
	}()
	stop = func() {
		cancel()
		<-done
	}
	w.t.Cleanup(stop)
	return stop
}

func (w *world) until(what string, ok func() bool) {
	w.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	end := time.NewTimer(time.Minute)
	defer end.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-end.C:
			w.t.Fatalf("gave up waiting until %s", what)
		}
	}
}

func (w *world) drained() {
	w.t.Helper()
	w.until("the log is published", func() bool {
		lag, err := w.group.Lag(w.t.Context())
		return err == nil && lag.Records == 0
	})
}

// TestScansArrive publishes while the broker dies and comes back and the process
// that publishes is restarted: each scan is there, under one id, those of an item in order.
func TestScansArrive(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.scan(200)
	stop := w.publish()
	w.until("something is published", func() bool {
		lag, err := w.group.Lag(t.Context())
		return err == nil && lag.Records < int64(len(w.told.Records))
	})
	w.broker.Kill()
	w.scan(200)
	stop()
	w.reopen()
	w.publish()
	w.broker.Start()
	w.scan(200)
	w.drained()

	want := map[string]scan.Seen{}
	for _, s := range w.told.Sightings {
		want["scn_"+scan.RefText(s.Ref)] = s
	}
	counts, contents := map[string]int64{}, map[string]string{}
	traced, repeats := 0, 0
	for _, line := range w.broker.Kcat("%k %h %s", verifyevent.CodeVerified) {
		key, rest, _ := strings.Cut(line, " ")
		headers, value, _ := strings.Cut(rest, " ")
		var e outbox.CloudEvent
		var v verifyevent.Verified
		if err := errors.Join(json.Unmarshal([]byte(value), &e), json.Unmarshal(e.Data, &v)); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		s, ok := want[e.ID]
		if !ok || !strings.Contains(headers, "event_id="+e.ID+",timestamp="+strconv.FormatInt(s.At/1000, 10)) || key != strconv.Itoa(int(s.Brand)) {
			t.Fatalf("no scan of ours: %s", line)
		}
		if before, ok := contents[e.ID]; ok {
			repeats++
			if before != value {
				t.Errorf("%s came as %s and as %s", e.ID, before, value)
			}
			continue
		}
		contents[e.ID] = value
		if counts[v.Code]++; v.Count != counts[v.Code] {
			t.Errorf("scan %d of %s came after %d", v.Count, v.Code, counts[v.Code]-1)
		}
		if s.What.Has(verifyevent.Traced) && strings.Contains(headers, "traceparent=00-01") {
			traced++
		}
		for _, secret := range []string{s.IP.String(), s.Agent, s.Place.City, s.Zone} {
			if strings.Contains(value, secret) {
				t.Errorf("%s tells %q", e.ID, secret)
			}
		}
	}
	if len(contents) != len(want) || traced != 60 {
		t.Errorf("%d scans of %d are there, %d with a trace, want 60", len(contents), len(want), traced)
	}
	t.Logf("%d events came again", repeats)
}

// TestForm pins one event whole.
func TestForm(t *testing.T) {
	t.Parallel()
	p := &Publisher{Codes: scantest.Codes{}, Batches: batches{}, Source: source, Log: "edge-2"}
	s := scan.Seen{Ref: verifyevent.Ref{At: 1<<40 + 3, N: 4}, Sighting: verifyevent.Sighting{
		Serial: 1006, At: scantest.Start().UnixMicro(), Count: 2, Brand: 1001, Product: 2001, No: 7, Verdict: scantest.AuthenticAgain, Source: 1,
		What: verifyevent.FirstOfDay | verifyevent.Far, Device: 0xabcdef0123456789, Place: verifyevent.Place{Country: "中国", Province: "贵州", City: "遵义"},
	}}
	m, err := p.message(t.Context(), &s, map[ids.Serial]scan.BatchInfo{})
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"specversion":"1.0","id":"scn_edge-2-1099511627779-4","source":"https://codes.example","type":"code.verified","subject":"000000000000001006",` +
		`"time":"2026-03-01T08:30:15.123456Z","datacontenttype":"application/json","brandid":1001,"data":{"code":"000000000000001006","brand_id":1001,"product_id":2001,` +
		`"batch_id":"bat_1000","batch_no":"YL-2026-0917","item_no":7,"result":"abnormal","error_msg":"far_apart","verdict":"authentic_again","source":"page","scan_count":2,` +
		`"first_scan":false,"first_of_day":true,"new_session":false,"far_apart":true,"device":"abcdef0123456789","country":"中国","province":"贵州"}}`
	if diff := cmp.Diff(want, string(m.Value)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestUnfitScansAreNoOthersFault has damaged sightings among good ones: they become dead
// letters of the log's group, the others are published.
func TestUnfitScansAreNoOthersFault(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.told.Scan(verifyevent.Sighting{Serial: 5, At: w.at.UnixMicro(), Brand: 1001, Product: 1, No: 0}) // outside its batch
	w.scan(20)
	w.publish()
	w.drained()
	letters, err := w.log.Dead(t.Context(), GroupKafka, "", 10)
	if err != nil || len(letters) != 1 || !strings.Contains(letters[0].Reason, "number outside its batch") {
		t.Errorf("letters %+v, %v", letters, err)
	}
	if got := len(w.broker.Kcat("%k", verifyevent.CodeVerified)); got != 20 {
		t.Errorf("%d scans are published, want 20", got)
	}
}

// TestOneDocument lets a search server be busy, lose answers and refuse a document while
// its consumer is restarted: in the end each scan is one document in its month.
func TestOneDocument(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.scan(900) // 37 days
	w.publish()
	w.drained()
	poison := []kafka.Message{
		{Topic: verifyevent.CodeVerified, Brand: 1001, ID: "not-json", Time: w.at, Value: []byte("{")},
		{Topic: verifyevent.CodeVerified, Brand: 1001, ID: "another", Time: w.at, Value: []byte(`{"specversion":"1.0","id":"x","type":"code.generated"}`)},
	}
	if err := w.client.Publish(t.Context(), poison); err != nil {
		t.Fatal(err)
	}
	refused := w.told.Sightings[100].Ref
	server := searchtest.New(t)
	var calls atomic.Int64
	var well atomic.Bool
	server.Fail = func(rw http.ResponseWriter, after bool) bool {
		switch n := calls.Add(1); {
		case well.Load():
			return false
		case !after && n%5 == 1:
			rw.WriteHeader(http.StatusServiceUnavailable)
		case after && n%7 == 2:
			panic(http.ErrAbortHandler) // it took them, and nobody hears of it
		default:
			return false
		}
		return true
	}
	server.Item = func(id string) int {
		if id == "scn_"+scan.RefText(refused) && !well.Load() {
			return http.StatusBadRequest
		}
		return 0
	}
	client, err := search.Open(server.Address())
	if err != nil {
		t.Fatal(err)
	}
	consumer := func() *kafka.Consumer { return AnalyticsConsumer(w.client, client) }
	stop := w.running(consumer().Run)
	w.until("some are indexed", func() bool { return len(server.Documents()) > 0 })
	stop()
	c := consumer()
	w.running(c.Run)
	w.until("all is committed", func() bool {
		lag, err := c.Lag(t.Context())
		return err == nil && lag[verifyevent.CodeVerified] == 0
	})
	kept := server.Documents()
	for _, s := range w.told.Sightings {
		id := "scn_" + scan.RefText(s.Ref)
		raw, ok := kept[time.UnixMicro(s.At).UTC().Format("qrcode-scans-2006.01/")+id]
		if s.Ref == refused {
			continue
		}
		var d document
		if err := json.Unmarshal(raw, &d); !ok || err != nil || d.ID != id || d.At.UnixMicro() != s.At || d.BrandID != int32(s.Brand) || d.Count != s.Count {
			t.Fatalf("%s is kept as %s, %v", id, raw, err)
		}
	}
	if len(kept) != len(w.told.Sightings)-1 {
		t.Errorf("%d documents of %d scans, of which one is refused", len(kept), len(w.told.Sightings))
	}
	if letters := w.broker.Kcat("%h", verifyevent.CodeVerified+".dlq"); len(letters) != 3 {
		t.Errorf("dead letters: %v", letters)
	}
	well.Store(true)
	if sum, err := c.Replay(t.Context()); err != nil || sum != (stream.Replayed{Consumed: 1, Kept: 2}) {
		t.Errorf("replayed %+v, %v", sum, err)
	}
	writes, requests := server.Counts()
	t.Logf("%d documents in %d writes of %d requests", len(server.Documents()), writes, requests)
}
