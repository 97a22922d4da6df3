package scankafka

import (
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/chopmark/chopmark/internal/platform/kafka"
	"github.com/chopmark/chopmark/internal/platform/outbox"
	"github.com/chopmark/chopmark/internal/platform/search"
	"github.com/chopmark/chopmark/internal/platform/stream"
	"github.com/chopmark/chopmark/internal/verify/verifyevent"
)

// GroupAnalytics is the Kafka group that feeds the search server.
const GroupAnalytics = "analytics-group"

const indexPrefix = "qrcode-scans"

//go:embed template.json
var template embed.FS

// Analytics writes code.verified events to a search server, each as one document under
// the event's id in the index of its month. It is a kafka.Handler.
type Analytics struct {
	search *search.Client

	mu    sync.Mutex
	ready bool // guarded by mu: the template is there
}

var _ kafka.Handler = (*Analytics)(nil)

// NewAnalytics makes the handler.
func NewAnalytics(s *search.Client) *Analytics { return &Analytics{search: s} }

// AnalyticsConsumer makes the consumer that feeds the search server.
func AnalyticsConsumer(c *kafka.Client, s *search.Client) *kafka.Consumer {
	return c.Consumer(kafka.ConsumerConfig{Group: GroupAnalytics, Topics: []string{verifyevent.CodeVerified}}, NewAnalytics(s))
}

// document is a scan as it is searched.
type document struct {
	At time.Time `json:"@timestamp"`
	ID string    `json:"event_id"`
	verifyevent.Verified
}

// Handle implements kafka.Handler.
func (a *Analytics) Handle(ctx context.Context, batch []kafka.Record) error {
	if err := a.prepare(ctx); err != nil {
		return stream.Unavailable(err)
	}
	rejected := kafka.RejectedError{}
	var documents []search.Document
	var from []int // the record of each document
	for i := range batch {
		d, err := documentOf(batch[i].Value)
		if err != nil {
			rejected[i] = err
			continue
		}
		documents, from = append(documents, d), append(from, i)
	}
	refused, err := a.search.Index(ctx, documents)
	if err != nil {
		return stream.Unavailable(err)
	}
	for i, why := range refused {
		rejected[from[i]] = why
	}
	if len(rejected) > 0 {
		return rejected
	}
	return nil
}

func documentOf(value []byte) (search.Document, error) {
	var e outbox.CloudEvent
	if err := json.Unmarshal(value, &e); err != nil {
		return search.Document{}, fmt.Errorf("read event: %w", err)
	}
	if e.SpecVersion != "1.0" || e.ID == "" || e.Type != verifyevent.CodeVerified || e.Time.IsZero() {
		return search.Document{}, fmt.Errorf("event %q of type %q is not a scan in CloudEvents 1.0", e.ID, e.Type)
	}
	d := document{At: e.Time.UTC(), ID: e.ID}
	if err := json.Unmarshal(e.Data, &d.Verified); err != nil {
		return search.Document{}, fmt.Errorf("read scan %s: %w", e.ID, err)
	}
	body, err := json.Marshal(d)
	return search.Document{Index: indexPrefix + d.At.Format("-2006.01"), ID: e.ID, Body: body}, err
}

// prepare sets the template once, before the first document makes an index.
func (a *Analytics) prepare(ctx context.Context) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ready {
		return nil
	}
	body, err := template.ReadFile("template.json")
	if err == nil {
		err = a.search.PutTemplate(ctx, indexPrefix, body)
	}
	a.ready = err == nil
	return err
}
