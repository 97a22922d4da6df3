package tracehttp

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/coder/websocket"

	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/trace"
)

const (
	socketsMax   = 200              // of this process
	socketPoll   = time.Second      // the floor when nobody wakes it
	socketWrite  = 30 * time.Second // in which a listener must take a document
	socketPing   = 30 * time.Second
	socketInSize = 4 << 10 // what a listener may say, which nobody reads
)

var errSockets = fault.New(fault.Unavailable, "trace.too_many_connections", "too many WebSockets are open here, come back later")

// isUpgrade reports whether a request wants to become a WebSocket.
func isUpgrade(r *http.Request) bool {
	return strings.EqualFold(r.Header.Get("Upgrade"), "websocket")
}

// subscribeBySocket answers GET /queries/{queryName}/events with an upgrade: documents come
// as texts while the client listens. Whoever comes again goes on by initialRecordTime, the
// recordTime of the last event that he has; eventIDs tell what he has already. A browser's
// page of another origin is refused.
func (a *api) subscribeBySocket(w http.ResponseWriter, r *http.Request) error {
	spec, err := connectionSpec(r)
	if err != nil {
		return err
	}
	if spec.Brand, err = ownerOf(r); err != nil {
		return err
	}
	if spec.Format, err = epcFormat(r); err != nil {
		return err
	}
	select {
	case a.sockets <- struct{}{}:
		defer func() { <-a.sockets }()
	default:
		return errSockets
	}
	c, err := a.Standing.Connect(r.Context(), spec)
	if err != nil {
		return err
	}
	w.Header().Set("GS1-Query-Min-Record-Time", stamp(c.From()))
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return nil
	}
	defer func() { _ = conn.CloseNow() }()
	conn.SetReadLimit(socketInSize)
	ctx, cancel := context.WithCancel(r.Context()) // ends with the credential too
	defer cancel()
	defer context.AfterFunc(a.Stopping, cancel)()
	ctx = conn.CloseRead(ctx)
	switch err := a.talk(ctx, conn, c); {
	case errors.Is(err, trace.ErrNoQuery):
		_ = conn.Close(websocket.StatusNormalClosure, "the query was removed")
	case a.Stopping.Err() != nil:
		_ = conn.Close(websocket.StatusGoingAway, "the server stops")
	case err != nil && ctx.Err() == nil:
		a.Log.WarnContext(r.Context(), "a WebSocket has ended", "query", spec.Query, "error", err)
		_ = conn.Close(websocket.StatusInternalError, "the query cannot be answered now")
	}
	return nil
}

// talk sends what there is until ctx ends.
func (a *api) talk(ctx context.Context, conn *websocket.Conn, c *trace.Connection) error {
	tick := time.NewTicker(socketPoll)
	defer tick.Stop()
	alive := a.Clock.Now()
	for {
		woken := a.Standing.Woken()
		b, err := c.Read(ctx)
		if err != nil {
			return err
		}
		if b.Document != nil {
			if err := within(ctx, func(ctx context.Context) error { return conn.Write(ctx, websocket.MessageText, b.Document) }); err != nil {
				return err
			}
		}
		if b.More {
			continue
		}
		select {
		case <-woken:
		case <-tick.C:
			if now := a.Clock.Now(); now.Sub(alive) >= socketPing {
				if err := within(ctx, conn.Ping); err != nil {
					return err
				}
				alive = now
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func within(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, socketWrite)
	defer cancel()
	return do(ctx)
}
