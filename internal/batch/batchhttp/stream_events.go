package batchhttp

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

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
	w      http.ResponseWriter
	flush  func() error
	cursor outbox.Cursor // after the last event that was sent whole
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
	s := &stream{w: w, flush: control.Flush, cursor: cursor}
	if s.send([]byte(": events of "+a.Service.PublicURL+"\n\n")) != nil {
		return nil // the client has left
	}
	poll, beat := time.NewTicker(a.PollEvery), time.NewTicker(a.BeatEvery)
	defer poll.Stop()
	defer beat.Stop()
	for {
		if err := a.sendNew(r.Context(), s); err != nil {
			if r.Context().Err() == nil {
				a.Log.ErrorContext(r.Context(), "event stream ends", "request_id", httpx.RequestID(w), "error", err)
			}
			return nil // the answer has begun: its end is all that can be told
		}
		select {
		case <-poll.C:
		case <-beat.C:
			if s.send([]byte(": still here\n\n")) != nil {
				return nil // the client has left
			}
		case <-r.Context().Done():
			return nil
		case <-a.Stopping.Done():
			return nil
		}
	}
}

// sendNew sends everything after the stream's cursor.
func (a *api) sendNew(ctx context.Context, s *stream) error {
	for {
		events, next, err := a.Outbox.Read(ctx, s.cursor, pageUsual)
		if err != nil || len(events) == 0 {
			return err
		}
		var out bytes.Buffer
		for i, e := range events {
			// The events of one transaction are resumed together: only the last of them
			// moves the cursor.
			if last := i+1 == len(events) || events[i+1].Shard != e.Shard || events[i+1].Seq != e.Seq; last {
				s.cursor[e.Shard] = e.Seq
			}
			data, err := json.Marshal(a.cloudEvent(e))
			if err != nil {
				return fmt.Errorf("encode event %s: %w", e.ID, err)
			}
			fmt.Fprintf(&out, "id: %s\nevent: %s\ndata: %s\n\n", s.cursor, e.Type, data)
		}
		s.cursor = next
		if err := s.send(out.Bytes()); err != nil {
			return err
		}
		select {
		case <-a.Stopping.Done():
			return nil
		default:
		}
	}
}

func (s *stream) send(p []byte) error {
	if _, err := s.w.Write(p); err != nil {
		return err
	}
	return s.flush()
}
