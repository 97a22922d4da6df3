package grpcx

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/httpx"
)

// notes remembers what was noted.
type notes struct {
	mu   sync.Mutex
	all  []string // guarded by mu
	fail error
}

func (n *notes) add(text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all = append(n.all, text)
}

func (n *notes) Begin(_ context.Context, method, requestID string, p *httpx.Principal) (func(int, []byte), error) {
	if n.fail != nil {
		return nil, n.fail
	}
	if requestID == "" {
		return nil, errors.New("no request id")
	}
	n.add("begin " + method + " " + p.ID)
	return func(status int, question []byte) { n.add(fmt.Sprint("end ", status, " ", string(question))) }, nil
}

// TestAudited: a call with a key is noted before it is acted upon, and then with what came of
// it, also when the handler panics; scans are not; without a note nothing is done.
func TestAudited(t *testing.T) {
	t.Parallel()
	n := &notes{}
	s := &Server{cfg: Config{Audit: n}, public: map[string]bool{openMethod: true}, tools: map[string]bool{}}
	ask := func(method, in string, h handle) (err error) {
		defer func() {
			if p := recover(); p != nil {
				err = errInternal
			}
		}()
		c := &call{method: method, requestID: "req-1", authorised: true, caller: httpx.Principal{ID: "apk_1"}}
		_, err = s.audited(t.Context(), c, wrapperspb.String(in), func(ctx context.Context, _ any) (any, error) {
			n.add("done")
			return h(ctx, in)
		})
		return err
	}
	good := func(context.Context, string) (string, error) { return "x", nil }
	errThere := fault.New(fault.Conflict, "batch.exists", "there")
	for _, c := range []struct {
		method, in string
		h          handle
		want       []string
	}{
		{closedMethod, "a", good, []string{"begin " + closedMethod + " apk_1", "done", `end 200 "a"`}},
		{closedMethod, "a", func(context.Context, string) (string, error) { return "", errThere }, []string{"begin " + closedMethod + " apk_1", "done", `end 409 "a"`}},
		{closedMethod, "a", func(context.Context, string) (string, error) { panic("x") }, []string{"begin " + closedMethod + " apk_1", "done", `end 500 "a"`}},
		{closedMethod, strings.Repeat("a", 5000), good, []string{"begin " + closedMethod + " apk_1", "done", "end 200 "}},
		{openMethod, "a", good, []string{"done"}},
	} {
		n.all = nil
		_ = ask(c.method, c.in, c.h) // the notes tell
		if !slices.Equal(n.all, c.want) {
			t.Errorf("%s: %q, want %q", c.method, n.all, c.want)
		}
	}
	n.all, n.fail = nil, fault.New(fault.Unavailable, "sql.unavailable", "away")
	if err := ask(closedMethod, "a", good); !errors.Is(err, n.fail) || len(n.all) != 0 {
		t.Errorf("without a note: %v, %q", err, n.all)
	}
}
