package mtls

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/grpcx"
	"github.com/chopmark/chopmark/internal/platform/httpx"
)

// world is an authority and who holds its certificates.
type world struct {
	t   *testing.T
	dir string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t, t.TempDir()}
	w.must(NewAuthority(filepath.Join(w.dir, "ca"), time.Now()))
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// issue makes a certificate at a time.
func (w *world) issue(name string, at time.Time, life time.Duration, roles ...string) Files {
	w.t.Helper()
	out := filepath.Join(w.dir, "certs")
	w.must(Issue(filepath.Join(w.dir, "ca"), out, Grant{Name: name, Roles: roles, Life: life}, at))
	return Files{filepath.Join(out, name+".pem"), filepath.Join(out, name+"-key.pem"), filepath.Join(out, "ca.pem")}
}

type noMetrics struct{}

func (noMetrics) Request(string, string, int, time.Time, time.Duration) {}

// serve runs a server that lets in one role and tells callers their name.
func (w *world) serve(f Files, role string) string {
	w.t.Helper()
	creds, err := f.Server(clock.System{})
	w.must(err)
	s := grpcx.New(grpcx.Config{Creds: creds, Peer: func(ctx context.Context) (httpx.Principal, error) {
		name, err := Peer(ctx, role)
		return httpx.Principal{ID: name, Name: name, Access: httpx.Everything{}}, err
	}}, nil, noMetrics{}, slog.New(slog.DiscardHandler), clock.System{})
	s.RegisterService(&grpc.ServiceDesc{ServiceName: "test.Who", HandlerType: (*any)(nil), Methods: []grpc.MethodDesc{{
		MethodName: "Am", Handler: func(_ any, ctx context.Context, dec func(any) error, mid grpc.UnaryServerInterceptor) (any, error) {
			in := &wrapperspb.StringValue{}
			if err := dec(in); err != nil {
				return nil, err
			}
			return mid(ctx, in, &grpc.UnaryServerInfo{FullMethod: "/test.Who/Am"}, func(ctx context.Context, _ any) (any, error) {
				caller, _ := grpcx.Caller(ctx)
				return wrapperspb.String(caller.Name), nil
			})
		},
	}}}, nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	w.must(err)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	w.t.Cleanup(func() {
		if err := errors.Join(s.Stop(context.Background()), <-served); err != nil {
			w.t.Error(err)
		}
	})
	return l.Addr().String()
}

// ask tells what a server calls the caller.
func (w *world) ask(addr string, creds credentials.TransportCredentials) (string, error) {
	w.t.Helper()
	conn, err := grpc.NewClient("dns:///"+addr, grpc.WithTransportCredentials(creds))
	w.must(err)
	defer conn.Close()
	ctx, cancel := context.WithTimeout(w.t.Context(), 30*time.Second)
	defer cancel()
	out := &wrapperspb.StringValue{}
	err = conn.Invoke(ctx, "/test.Who/Am", wrapperspb.String(""), out)
	return out.GetValue(), grpcx.FromStatus(err)
}

func (w *world) client(f Files, roles ...string) credentials.TransportCredentials {
	w.t.Helper()
	creds, err := f.Client(clock.System{}, roles...)
	w.must(err)
	return creds
}

// TestRefusals: only who holds a certificate of the authority that is good now and
// names the role gets an answer, on both sides.
func TestRefusals(t *testing.T) {
	t.Parallel()
	w, foreign := newWorld(t), newWorld(t)
	now := time.Now()
	server := w.serve(w.issue("issue-1", now, 0, "issue"), "edge")
	edge := w.issue("edge-1", now, 0, "edge")
	if name, err := w.ask(server, w.client(edge, "issue")); name != "edge-1" || err != nil {
		t.Fatalf("the right one is %q, %v", name, err)
	}
	both := w.issue("both", now, 0, "worker", "edge")
	if name, err := w.ask(server, w.client(both, "all", "issue")); name != "both" || err != nil {
		t.Errorf("one with several roles is %q, %v", name, err)
	}

	stranger := foreign.issue("edge-9", now, 0, "edge")
	stranger.CA = edge.CA // it knows whom it calls
	for name, f := range map[string]Files{
		"expired":             w.issue("late", now.Add(-48*time.Hour), 24*time.Hour, "edge"),
		"not yet good":        w.issue("early", now.Add(48*time.Hour), 0, "edge"),
		"another authority's": stranger,
	} {
		if got, err := w.ask(server, w.client(f, "issue")); err == nil {
			t.Errorf("a caller whose certificate is %s was called %q", name, got)
		}
	}
	if _, err := w.ask(server, w.client(w.issue("worker-1", now, 0, "worker"), "issue")); !errors.Is(err, ErrRole) {
		t.Errorf("a caller of another role: %v, want ErrRole", err)
	}
	if _, err := w.ask(server, w.client(w.issue("nobody", now, 0), "issue")); !errors.Is(err, ErrRole) {
		t.Errorf("a caller of no role: %v, want ErrRole", err)
	}
	for name, creds := range map[string]credentials.TransportCredentials{
		"without TLS": insecure.NewCredentials(), "without a certificate": bare(t, edge.CA),
	} {
		if got, err := w.ask(server, creds); err == nil {
			t.Errorf("a caller %s was called %q", name, got)
		}
	}

	alien := foreign.issue("issue-9", now, 0, "issue")
	alien.CA = edge.CA
	for name, f := range map[string]Files{
		"another authority's": alien,
		"of another role":     w.issue("edge-2", now, 0, "edge"),
		"expired":             w.issue("old", now.Add(-48*time.Hour), 24*time.Hour, "issue"),
	} {
		if got, err := w.ask(w.serve(f, "edge"), w.client(edge, "issue")); err == nil {
			t.Errorf("a server whose certificate is %s was believed and called us %q", name, got)
		}
	}
}

// bare is TLS that shows no certificate.
func bare(t *testing.T, ca string) credentials.TransportCredentials {
	t.Helper()
	creds, err := credentials.NewClientTLSFromFile(ca, "localhost")
	if err != nil {
		t.Fatal(err)
	}
	return creds
}

// TestRenewedInItsPlace: the next connection shows what lies there now.
func TestRenewedInItsPlace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	now := time.Now()
	server := w.serve(w.issue("issue-1", now, 0, "issue"), "edge")
	f := w.issue("edge-1", now.Add(-48*time.Hour), 24*time.Hour, "edge")
	creds := w.client(f, "issue")
	if _, err := w.ask(server, creds); err == nil {
		t.Fatal("an expired certificate was let in")
	}
	next := w.issue("next", now, 0, "edge")
	w.must(os.Rename(next.Key, f.Key))
	w.must(os.Rename(next.Cert, f.Cert))
	if name, err := w.ask(server, creds); name != "next" || err != nil {
		t.Errorf("after the renewal it is %q, %v", name, err)
	}
}

func TestIssued(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	f := w.issue("edge-1", time.Now(), 0, "edge", "worker")
	own, err := f.Own()
	w.must(err)
	if got := strings.Join(Roles(own), " "); got != "edge worker" || own.URIs[0].String() != "chopmark://role/edge" {
		t.Errorf("roles %q, %v", got, own.URIs)
	}
	if own.PublicKeyAlgorithm != x509.ECDSA || own.IsCA {
		t.Errorf("%v, an authority: %v", own.PublicKeyAlgorithm, own.IsCA)
	}
	for _, dir := range []string{"ca", "certs"} {
		entries, err := os.ReadDir(filepath.Join(w.dir, dir))
		w.must(err)
		for _, e := range entries {
			if st, err := e.Info(); err != nil || st.Mode().Perm() != 0o600 {
				t.Errorf("%s: %v, %v", e.Name(), st.Mode(), err)
			}
		}
	}
	if err := NewAuthority(filepath.Join(w.dir, "ca"), time.Now()); err == nil {
		t.Error("an authority was replaced")
	}
	if err := Issue(filepath.Join(w.dir, "ca"), filepath.Join(w.dir, "certs"), Grant{Name: "edge-1"}, time.Now()); err == nil {
		t.Error("a certificate was replaced")
	}
	for _, name := range []string{"", "../x", "a b", "..", strings.Repeat("x", 65), "a/b"} {
		if err := Issue(filepath.Join(w.dir, "ca"), t.TempDir(), Grant{Name: name}, time.Now()); err == nil {
			t.Errorf("the name %q was taken", name)
		}
	}
	w.must(os.Chmod(f.Key, 0o640))
	if _, err := f.Own(); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a key that others can read: %v", err)
	}
}

// TestSecret: each key and each label has its own, and it stays.
func TestSecret(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.issue("a", time.Now(), 0, "edge"), w.issue("b", time.Now(), 0, "edge")
	seen := map[[32]byte]bool{}
	made := 0
	for _, f := range []Files{a, b} {
		for _, label := range []string{"x/1", "x/2"} {
			one, err := f.Secret(label)
			w.must(err)
			again, err := f.Secret(label)
			w.must(err)
			if one != again || one == [32]byte{} {
				t.Errorf("%s of %s is not the same twice", label, f.Key)
			}
			seen[one] = true
			made++
		}
	}
	if len(seen) != made {
		t.Errorf("%d secrets, %d of them differ", made, len(seen))
	}
	raw, err := os.ReadFile(a.Key)
	w.must(err)
	block, _ := pem.Decode(raw)
	for s := range seen {
		if bytes.Contains(block.Bytes, s[:]) {
			t.Error("a secret stands in the key")
		}
	}
}

func TestExposed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		mode        os.FileMode
		owner, self uint32
		want        bool
	}{
		{0o600, 7, 7, false}, {0o400, 0, 0, false}, {0o640, 7, 7, true}, {0o604, 7, 7, true}, {0o640, 0, 0, true},
		{0o440, 0, 7, false}, {0o640, 0, 7, false}, {0o460, 0, 7, true}, {0o444, 0, 7, true}, {0o440, 8, 7, true},
	} {
		if got := exposed(c.mode, c.owner, c.self); got != c.want {
			t.Errorf("mode %04o of %d for %d: %v", c.mode, c.owner, c.self, got)
		}
	}
}
