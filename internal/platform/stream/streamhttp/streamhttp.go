// Package streamhttp shows operators the messages that consumers could not deal
// with, and lets them be tried again or given up.
//
// Promise: a letter leaves the list only when its message was consumed or somebody
// with a key said so (TestLetters).
package streamhttp

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/internal/platform/stream"
)

// Group is a group of consumers, and what can be done with its letters.
type Group struct {
	Name string
	// Dead lists letters behind the one with the id after, "" = from the oldest. An id that
	// is none is stream.ErrBadLetterID.
	Dead   func(ctx context.Context, after string, limit int) ([]stream.Letter, error)
	Replay func(ctx context.Context) (stream.Replayed, error)
	// Discard gives up letters, all or, when one of the ids is none, nothing with
	// stream.ErrBadLetterID. nil = where these letters are kept none can be given up alone.
	Discard func(ctx context.Context, ids ...string) error
}

// Of is a group that reads a stream.
func Of(name string, letters stream.Letters, cfg stream.Config, split stream.Split, h stream.Handler) Group {
	return Group{
		Name: name,
		Dead: func(ctx context.Context, after string, limit int) ([]stream.Letter, error) {
			if after != "" {
				if _, _, _, err := stream.ParseLetterID(after); err != nil {
					return nil, err
				}
			}
			return letters.Dead(ctx, name, after, limit)
		},
		Replay: func(ctx context.Context) (stream.Replayed, error) {
			return stream.Replay(ctx, cfg, name, letters, split, h)
		},
		Discard: func(ctx context.Context, ids ...string) error {
			for _, id := range ids {
				if _, _, _, err := stream.ParseLetterID(id); err != nil {
					return err
				}
			}
			return letters.Discard(ctx, ids...)
		},
	}
}

type api struct{ groups []Group }

const (
	listUsual  = 100
	listMost   = 1000
	discardMax = 1000
)

// Mount adds the routes. All of them need a key.
func Mount(rt *httpx.Router, groups []Group) {
	a := &api{groups}
	rt.Admin("GET /api/v1/dead-letters", a.list)
	rt.Admin("POST /api/v1/dead-letters/replay", a.replay)
	rt.Admin("POST /api/v1/dead-letters/discard", a.discard)
}

func (a *api) group(name string) (Group, error) {
	if i := slices.IndexFunc(a.groups, func(g Group) bool { return g.Name == name }); i >= 0 {
		return a.groups[i], nil
	}
	return Group{}, fault.Field("stream.unknown_group", "group", "is no group of consumers")
}

type letter struct {
	ID       string    `json:"letter_id"`
	Group    string    `json:"group"`
	Reason   string    `json:"reason"`
	Tries    int       `json:"tries"`
	Bytes    int       `json:"bytes"`
	BuriedAt time.Time `json:"buried_at"`
}

// list answers GET /api/v1/dead-letters?group=&limit=&cursor=.
func (a *api) list(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	g, err := a.group(q.Get("group"))
	if err != nil {
		return err
	}
	limit, err := httpx.Page(r, listUsual, listMost)
	if err != nil {
		return err
	}
	page, err := g.Dead(r.Context(), q.Get("cursor"), limit)
	switch {
	case errors.Is(err, stream.ErrBadLetterID):
		return fault.Field("stream.bad_cursor", "cursor", "is not a cursor of this list")
	case err != nil:
		return outOfReach(err)
	}
	out := struct {
		Letters []letter `json:"letters"`
		Cursor  *string  `json:"cursor"`
	}{Letters: make([]letter, 0, len(page))}
	for _, m := range page {
		out.Letters = append(out.Letters, letter{m.ID, m.Group, m.Reason, m.Tries, len(m.Value), m.BuriedAt})
	}
	if len(page) == limit {
		out.Cursor = &page[len(page)-1].ID
	}
	return httpx.OK(w, out)
}

// replay answers POST /api/v1/dead-letters/replay. A repeat tries again what is
// still there, so it needs no key of its own.
func (a *api) replay(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Group string `json:"group"`
	}
	if _, err := httpx.Decode(w, r, httpx.BodyMax, &body); err != nil {
		return err
	}
	g, err := a.group(body.Group)
	if err != nil {
		return err
	}
	sum, err := g.Replay(r.Context())
	if err != nil {
		return fault.New(fault.Unavailable, "stream.replay_stopped", "stopped after %d messages: their store is out of reach", sum.Consumed).Because(err)
	}
	return httpx.OK(w, map[string]int{"consumed": sum.Consumed, "kept": sum.Kept})
}

// discard answers POST /api/v1/dead-letters/discard: what is not there is gone.
func (a *api) discard(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		IDs []string `json:"letter_ids"`
	}
	if _, err := httpx.Decode(w, r, httpx.BodyMax, &body); err != nil {
		return err
	}
	if len(body.IDs) == 0 || len(body.IDs) > discardMax {
		return fault.Field("stream.bad_ids", "letter_ids", "must name 1 to %d letters", discardMax)
	}
	of := map[string][]string{}
	for _, id := range body.IDs {
		name, _, _ := strings.Cut(id, ":")
		switch g, err := a.group(name); {
		case err != nil:
			return noLetter(id)
		case g.Discard == nil:
			return fault.Field("stream.bad_ids", "letter_ids", "%q lies in Kafka, which forgets no single one", id)
		}
		of[name] = append(of[name], id)
	}
	for _, g := range a.groups {
		if len(of[g.Name]) == 0 {
			continue
		}
		err := g.Discard(r.Context(), of[g.Name]...)
		switch {
		case errors.Is(err, stream.ErrBadLetterID):
			return noLetter(of[g.Name][0])
		case err != nil:
			return outOfReach(err)
		}
	}
	return httpx.OK(w, map[string]int{"discarded": len(body.IDs)})
}

func noLetter(id string) error {
	return fault.Field("stream.bad_ids", "letter_ids", "%q is no letter, or one beside it", id)
}

// outOfReach tells that where letters are kept does not answer.
func outOfReach(err error) error {
	if stream.IsUnavailable(err) {
		return fault.New(fault.Unavailable, "stream.unavailable", "what keeps the letters does not answer").Because(err)
	}
	return err
}
