package sourcerpc

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/chopmark/chopmark/internal/platform/egress"
	"github.com/chopmark/chopmark/internal/source"
	"github.com/chopmark/chopmark/internal/source/sourcerpc/sourcepb"
)

type peer struct {
	sourcepb.UnimplementedTraceSourceServiceServer

	asked  atomic.Int64
	answer func(ctx context.Context, q *sourcepb.AskRequest) (*sourcepb.AskResponse, error)
}

func (p *peer) Ask(ctx context.Context, q *sourcepb.AskRequest) (*sourcepb.AskResponse, error) {
	p.asked.Add(1)
	return p.answer(ctx, q)
}

func serve(t *testing.T, p *peer) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	sourcepb.RegisterTraceSourceServiceServer(s, p)
	go func() { _ = s.Serve(ln) }() // ended by Stop
	t.Cleanup(s.Stop)
	return "grpc://" + ln.Addr().String()
}

func good(_ context.Context, q *sourcepb.AskRequest) (*sourcepb.AskResponse, error) {
	details, err := structpb.NewStruct(map[string]any{"carrier": "顺丰", "n": 1.5, "ok": true})
	return &sourcepb.AskResponse{Code: q.GetCode(), Parts: []*sourcepb.Part{
		{Stage: "logistics", Time: timestamppb.New(time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)), Location: "上海仓", Details: details}, {Stage: "sales"},
	}}, err
}

func client(t *testing.T, private bool) *Client {
	t.Helper()
	c := NewClient(egress.New(private))
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestClient(t *testing.T) {
	t.Parallel()
	c := client(t, true)
	p := &peer{}
	url := serve(t, p)
	q := source.Ask{Code: "123456789012345678", Brand: 1001, BatchNo: "B-1", Product: 7}
	p.answer = func(ctx context.Context, got *sourcepb.AskRequest) (*sourcepb.AskResponse, error) {
		if got.GetBrandId() != 1001 || got.GetBatchNo() != "B-1" || got.GetProductId() != 7 || strings.Join(metadata.ValueFromIncomingContext(ctx, "authorization"), "") != "Bearer sesame" {
			t.Errorf("asked %v", got)
		}
		return good(ctx, got)
	}
	a, err := c.Ask(t.Context(), url, "sesame", q)
	if err != nil || a.Code != q.Code || len(a.Parts) != 2 || a.Parts[0].Location != "上海仓" || a.Parts[0].Details["n"] != 1.5 || a.Parts[0].Details["ok"] != true ||
		!a.Parts[0].Time.Equal(time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)) || !a.Parts[1].Time.IsZero() {
		t.Errorf("%+v %v", a, err)
	}
	p.answer = func(context.Context, *sourcepb.AskRequest) (*sourcepb.AskResponse, error) {
		return &sourcepb.AskResponse{Code: strings.Repeat("x", answerMax+1)}, nil
	}
	if _, err := c.Ask(t.Context(), url, "", q); !errors.Is(err, source.ErrWrong) {
		t.Errorf("a huge answer: %v", err)
	}
	p.answer = func(context.Context, *sourcepb.AskRequest) (*sourcepb.AskResponse, error) {
		return nil, status.Error(codes.PermissionDenied, "no")
	}
	if _, err := c.Ask(t.Context(), url, "", q); !errors.Is(err, source.ErrNoAnswer) || !strings.Contains(err.Error(), "PermissionDenied") {
		t.Errorf("a refusal: %v", err)
	}
	before := p.asked.Load()
	if _, err := client(t, false).Ask(t.Context(), url, "", q); !errors.Is(err, source.ErrAddress) || p.asked.Load() != before {
		t.Errorf("this machine was asked: %v", err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone := "grpc://" + ln.Addr().String()
	_ = ln.Close()
	if _, err := c.Ask(t.Context(), gone, "", q); !errors.Is(err, source.ErrNoAnswer) {
		t.Errorf("nobody there: %v", err)
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	c := client(t, true)
	c.max = 2
	for round := range 3 {
		for range 4 {
			p := &peer{answer: good}
			if _, err := c.Ask(t.Context(), serve(t, p), "", source.Ask{Code: "1"}); err != nil || p.asked.Load() != 1 {
				t.Fatal(round, err)
			}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.conns) != 2 || c.order.Len() != 2 {
		t.Errorf("%d connections in the map, %d in the list", len(c.conns), c.order.Len())
	}
}
