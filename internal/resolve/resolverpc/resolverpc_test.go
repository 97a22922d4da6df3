package resolverpc

import (
	"context"
	"errors"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/resolve"
	"github.com/chopmark/chopmark/internal/resolve/resolverpc/linkspb"
)

// source has records 1 to n.
type source struct{ n int64 }

var errBroken = fault.New(fault.Unavailable, "sql.unavailable", "the database does not answer")

func (s source) Changes(_ context.Context, after int64, limit int) (page []resolve.Record, _ error) {
	if s.n < 0 {
		return nil, errBroken
	}
	for v := after + 1; v <= s.n && len(page) < limit; v++ {
		page = append(page, resolve.Record{
			Name: "/01/" + strconv.FormatInt(v, 10), BrandID: 7, Body: []byte("[]"), Version: v, ChangedAt: time.Date(2026, 11, 1, 8, 0, 0, 5000, time.UTC),
		})
	}
	return page, nil
}

func (s source) Head(context.Context) (int64, error) { return s.n, nil }

func dial(t *testing.T, s source) *Client {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	linkspb.RegisterLinksServiceServer(server, New(s))
	go func() { _ = server.Serve(ln) }() // ended by Stop
	t.Cleanup(server.Stop)
	conn, err := grpc.NewClient(ln.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return NewClient(conn)
}

// TestChanges: page by page everything comes over, and where the other side knows less it
// says so.
func TestChanges(t *testing.T) {
	t.Parallel()
	const n = 2*pageRecords + 3
	c := dial(t, source{n})
	var got []resolve.Record
	for more := true; more; {
		p, err := c.Changes(t.Context(), int64(len(got)))
		if err != nil || p.Head != n {
			t.Fatalf("%+v, %v", p.Head, err)
		}
		got, more = append(got, p.Records...), p.More
	}
	want, err := source{n}.Changes(t.Context(), 0, n)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if p, err := c.Changes(t.Context(), n+5); err != nil || p.Head >= n+5 || len(p.Records) != 0 || p.More {
		t.Errorf("%+v, %v", p, err)
	}
	if _, err := dial(t, source{-1}).Changes(t.Context(), 0); err == nil || errors.Is(err, resolve.ErrUnknown) {
		t.Errorf("a source that fails: %v", err)
	}
}
