package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// ask is one line from the bench to its client: a visit to measure, or the client's device
// ("up") or link ("probe").
type ask struct {
	Do   string // a protocol below, "up" or "probe"
	Path string
	Page bool
}

// told is the client's answer. A second, empty one follows when the visit has settled:
// what belongs to the next visit has come.
type told struct {
	Took  time.Duration
	Early bool // it went in early data
	Body  string
	Size  int // of Body
	Probe *probed
	Error string
}

// The protocols, in the order of the table.
const (
	http1       = "HTTP/1.1 + TLS"
	http1Return = "HTTP/1.1 + TLS, resumed"
	http2       = "HTTP/2"
	http3First  = "HTTP/3, first visit"
	http3Return = "HTTP/3, return visit"
	http3Open   = "HTTP/3, open connection"
)

func protocols() []string {
	return []string{http1, http1Return, http2, http3First, http3Return, http3Open}
}

// client is the process in the namespace at the other end of the link.
type client struct {
	server   string // host:port
	sessions tls.ClientSessionCache
	known    *store // of return visits by HTTP/3
	open     *visiting
}

// runClient answers lines until its input ends.
func runClient(ctx context.Context, host string) error {
	c := &client{server: host, sessions: tls.NewLRUClientSessionCache(8), known: newStore()}
	out := json.NewEncoder(os.Stdout)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var a ask
		if err := json.Unmarshal(lines.Bytes(), &a); err != nil { //nolint:musttag // between two of our own processes
			return err
		}
		answer, settle := c.do(ctx, a)
		if err := out.Encode(answer); err != nil { //nolint:musttag // between two of our own processes
			return err
		}
		settle()
		if err := out.Encode(told{}); err != nil { //nolint:musttag // between two of our own processes
			return err
		}
	}
	return lines.Err()
}

// visitLimit is more than the slowest visit with losses takes.
const visitLimit = 60 * time.Second

func (c *client) do(ctx context.Context, a ask) (told, func()) {
	ctx, cancel := context.WithTimeout(ctx, visitLimit)
	var t told
	var err error
	settle := func() {}
	switch a.Do {
	case "up":
		err = deviceUp(ctx, a.Path, clientAddress)
	case "probe":
		t.Probe, err = probe(ctx, a.Path)
	case http1, http1Return, http2:
		t, settle, err = c.overTCP(ctx, a)
	default:
		t, settle, err = c.overQUIC(ctx, a)
	}
	if err != nil {
		t.Error = err.Error()
	}
	return t, func() { settle(); cancel() }
}

func (c *client) tls(cache tls.ClientSessionCache) *tls.Config {
	return &tls.Config{ServerName: "localhost", InsecureSkipVerify: true, ClientSessionCache: cache}
}

func (c *client) overTCP(ctx context.Context, a ask) (told, func(), error) {
	cache := tls.NewLRUClientSessionCache(1)
	if a.Do == http1Return {
		cache = c.sessions
	}
	tr := &http.Transport{TLSClientConfig: c.tls(cache), ForceAttemptHTTP2: a.Do == http2, DisableCompression: true}
	if a.Do != http2 {
		tr.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	}
	begun := time.Now()
	body, proto, err := c.get(ctx, tr, http.MethodGet, a)
	t := told{Took: time.Since(begun), Body: body, Size: len(body)}
	if want := map[bool]int{true: 2, false: 1}[a.Do == http2]; err == nil && proto != want {
		err = fmt.Errorf("spoke HTTP/%d", proto)
	}
	return t, tr.CloseIdleConnections, err
}

// get asks as the product's own clients do: with no more headers than are needed.
func (c *client) get(ctx context.Context, through http.RoundTripper, method string, a ask) (body string, proto int, _ error) {
	r, err := http.NewRequestWithContext(ctx, method, "https://"+c.server+a.Path, http.NoBody)
	if err != nil {
		return "", 0, err
	}
	r.Header.Set("User-Agent", "chopmark-weak")
	r.Header.Set("Accept", "application/json")
	if a.Page {
		r.Header.Set("Accept", "text/html")
		r.Header.Set("Accept-Language", "zh-CN")
		r.Header.Set("Accept-Encoding", "gzip")
	}
	resp, err := through.RoundTrip(r)
	if err != nil {
		return "", 0, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("answered %d: %s", resp.StatusCode, raw)
	}
	return string(raw), resp.ProtoMajor, err
}

// store is what a client of HTTP/3 keeps between visits.
type store struct {
	sessions tls.ClientSessionCache
	quic.TokenStore
	came chan struct{} // a token
}

func newStore() *store {
	return &store{tls.NewLRUClientSessionCache(8), quic.NewLRUTokenStore(8, 8), make(chan struct{}, 100)}
}

// Put implements quic.TokenStore.
func (s *store) Put(key string, token *quic.ClientToken) {
	s.TokenStore.Put(key, token)
	s.came <- struct{}{}
}

// visiting is one connection of HTTP/3.
type visiting struct {
	quic      *quic.Conn
	http      *http3.ClientConn
	transport *quic.Transport
	socket    net.PacketConn
}

func (c *client) dial(ctx context.Context, keep *store) (*visiting, error) {
	to, err := net.ResolveUDPAddr("udp", c.server)
	if err != nil {
		return nil, err
	}
	v := &visiting{}
	if v.socket, err = (&net.ListenConfig{}).ListenPacket(ctx, "udp", ":0"); err != nil {
		return nil, err
	}
	v.transport = &quic.Transport{Conn: v.socket}
	config := c.tls(keep.sessions)
	config.NextProtos = []string{http3.NextProtoH3}
	v.quic, err = v.transport.DialEarly(ctx, to, config, &quic.Config{
		TokenStore: keep, DisablePathMTUDiscovery: true, HandshakeIdleTimeout: visitLimit, MaxIdleTimeout: 10 * time.Minute,
	})
	if err != nil {
		return nil, errors.Join(err, v.transport.Close(), v.socket.Close())
	}
	v.http = (&http3.Transport{DisableCompression: true}).NewClientConn(v.quic)
	return v, nil
}

func (v *visiting) close() {
	_ = v.quic.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeNoError), "") // it may be closed
	_ = v.transport.Close()
	_ = v.socket.Close()
}

func (c *client) overQUIC(ctx context.Context, a ask) (told, func(), error) {
	keep, method := newStore(), http.MethodGet
	if a.Do != http3First {
		keep = c.known
	}
	if a.Do == http3Return {
		method = http3.MethodGet0RTT
	}
	begun := time.Now()
	v := c.open
	if a.Do != http3Open || v == nil {
		var err error
		if v, err = c.dial(ctx, keep); err != nil {
			return told{}, func() {}, err
		}
	}
	body, _, err := c.get(ctx, v.http, method, a)
	t := told{Took: time.Since(begun), Body: body, Size: len(body), Early: v.quic.ConnectionState().Used0RTT}
	if a.Do == http3Open && v == c.open {
		return t, func() {}, err
	}
	return t, func() {
		select {
		case <-keep.came: // the ticket came before it
		case <-ctx.Done():
		}
		if a.Do == http3Open {
			c.open = v
			return
		}
		v.close()
	}, err
}

// deviceUp gives a device its address and brings it up.
func deviceUp(ctx context.Context, name, address string) error {
	return errors.Join(
		ip(ctx, "addr", "add", address, "dev", name),
		ip(ctx, "link", "set", name, "mtu", "1500", "txqueuelen", "1000", "up"),
		// The kernel must not remember how a path was: each visit is the first of its connection.
		os.WriteFile("/proc/sys/net/ipv4/tcp_no_metrics_save", []byte("1"), 0o600),
	)
}

func ip(ctx context.Context, args ...string) error {
	if text, err := exec.CommandContext(ctx, "ip", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, text)
	}
	return nil
}
