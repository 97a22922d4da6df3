package grpcx

import (
	"context"
	"errors"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/internal/platform/roletoken"
)

// TestRoleTokens: what one role says of a request reaches the handler of another, and what
// that asks of a third; without a good token the handler is not reached.
func TestRoleTokens(t *testing.T) {
	t.Parallel()
	var heard roletoken.Behalf
	cfg := Config{
		Peer: func(context.Context) (httpx.Principal, error) {
			return httpx.Principal{ID: "role:edge-1", Access: httpx.Everything{}}, nil
		},
		Token: func(_ context.Context, method, token string) (roletoken.Behalf, error) {
			if method == openMethod {
				return roletoken.Behalf{}, nil
			}
			if token != "good" {
				return roletoken.Behalf{}, roletoken.ErrRefused
			}
			return roletoken.Behalf{User: "7", Brand: 1001, RequestID: "of the token"}, nil
		},
	}
	w := serve(t, cfg, func(ctx context.Context, in string) (string, error) {
		heard = roletoken.Of(ctx)
		return in, nil
	})
	token := "good"
	conn, err := grpc.NewClient(w.conn.Target(), append(Carry(func(b roletoken.Behalf) (string, error) {
		if b.Brand != 1001 {
			return "", errors.New("on no brand's behalf")
		}
		return token, nil
	}), grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	call := func(method string) error {
		ctx := roletoken.On(t.Context(), roletoken.Behalf{Brand: 1001, RequestID: "req-of-a-scan"})
		return FromStatus(conn.Invoke(ctx, method, wrapperspb.String("x"), &wrapperspb.StringValue{}))
	}
	if err := call(closedMethod); err != nil || heard != (roletoken.Behalf{User: "7", Brand: 1001, RequestID: "req-of-a-scan"}) {
		t.Errorf("%v: the handler hears %+v", err, heard)
	}
	for _, bad := range []string{"", "forged"} {
		token, heard = bad, roletoken.Behalf{}
		if err := call(closedMethod); !errors.Is(err, roletoken.ErrRefused) || heard.Brand != 0 {
			t.Errorf("with %q: %v, the handler heard %+v", bad, err, heard)
		}
		if err := call(openMethod); err != nil {
			t.Errorf("what brings the keys: %v", err)
		}
	}
}
