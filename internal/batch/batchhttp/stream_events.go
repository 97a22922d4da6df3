package batchhttp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/internal/platform/outbox"
)

var errTooManyStreams = &fault.Error{
	Kind: fault.Unavailable, Code: "events.too_many_streams", Text: "too many event streams are open; ask for pages instead",
	RetryAfter: 10 * time.Second,
}

// stream is one client that listens.
type stream struct {
	w     http.ResponseWriter
	flush func() error
}

// streamEvents sends events as they come (WHATWG server-sent events) until the
// client leaves or the process stops. The id of an event is the cursor after it, so
// that a client which comes back with Last-Event-ID misses nothing.
func (a *api) streamEvents(w http.ResponseWriter, r *http.Request, cursor outbox.Cursor) error {
	select {
	case a.streams <- struct{}{}:
		defer func() { <-a.streams }()
	default:
		return errTooManyStreams
	}
	control := http.NewResponseController(w)
	_ = control.SetWriteDeadline(time.Time{}) // a stream may last; where it cannot be said, nothing ends it
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // proxies must pass on each event at once
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(a.Stopping, cancel)()
	f := a.Tail.Follow(cursor)
	defer f.Stop()
	s := &stream{w: w, flush: control.Flush}
	for err := s.send([]byte(": events of " + a.Service.PublicURL + "\n\n")); err == nil; {
		if err = a.sendNext(ctx, s, f); err != nil && ctx.Err() == nil && !errors.Is(err, errLeft) {
			a.Log.ErrorContext(ctx, "event stream ends", "request_id", httpx.RequestID(w), "error", err)
		}
	}
	return nil // the answer has begun: its end is all that can be told
}

// sendNext sends what comes next, or a sign of life.
func (a *api) sendNext(ctx context.Context, s *stream, f *outbox.Follower) error {
	beat, cancel := context.WithTimeout(ctx, a.BeatEvery)
	defer cancel()
	cursor := f.Cursor()
	events, err := f.Next(beat)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return s.send([]byte(": still here\n\n"))
	}
	if err != nil {
		return err
	}
	var out bytes.Buffer
	scope := ids.ScopeOf(ctx)
	for i, e := range events {
		// The events of one transaction are resumed together: only the last of them
		// moves the cursor.
		if last := i+1 == len(events) || events[i+1].Shard != e.Shard || events[i+1].Seq != e.Seq; last {
			cursor[e.Shard] = e.Seq
		}
		if !scope.Has(e.BrandID) {
			continue
		}
		data, err := json.Marshal(a.cloudEvent(e))
		if err != nil {
			return fmt.Errorf("encode event %s: %w", e.ID, err)
		}
		fmt.Fprintf(&out, "id: %s\nevent: %s\ndata: %s\n\n", cursor, e.Type, data)
	}
	if out.Len() == 0 { // all of it is foreign
		return nil
	}
	return s.send(out.Bytes())
}

// errLeft says that the client is gone.
var errLeft = errors.New("the client has left")

func (s *stream) send(p []byte) error {
	_, err := s.w.Write(p)
	if err == nil {
		err = s.flush()
	}
	if err != nil {
		return errLeft
	}
	return nil
}
