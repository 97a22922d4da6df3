package lane

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// seen is what a handler can see of a request.
type seen struct {
	Method, URI, Path, RawPath, Query, Host, Proto string
	Header                                         http.Header
	Length                                         int64
	Body                                           string
}

// echo answers with what it saw.
func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if status := r.Header.Get("Want-Status"); status == "410" {
		w.WriteHeader(http.StatusGone)
	}
	_ = json.NewEncoder(w).Encode(seen{
		r.Method, r.RequestURI, r.URL.Path, r.URL.RawPath, r.URL.RawQuery, r.Host, r.Proto, r.Header, r.ContentLength, string(body),
	})
}

func takes(path string) bool { return strings.HasPrefix(path, "/fast/") }

// world is one handler behind a lane and, beside it, behind net/http alone.
type world struct {
	lane   *Lane
	server *http.Server
	plain  *http.Server
	fast   string // addresses
	slow   string
	states sync.Map // net.Conn → its last state
	left   atomic.Int64
}

func newWorld(t testing.TB, h http.HandlerFunc, o Options) *world {
	t.Helper()
	listen := func() net.Listener {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return ln
	}
	w := &world{}
	counted := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if _, ours := rw.(*answer); !ours {
			w.left.Add(1)
		}
		h(rw, r)
	})
	o.Handler, o.Takes, o.Log = counted, takes, slog.New(slog.DiscardHandler)
	if o.HeaderTimeout == 0 {
		o.HeaderTimeout, o.IdleTimeout = 5*time.Second, 5*time.Second
	}
	o.ConnState = func(c net.Conn, s http.ConnState) { w.states.Store(c, s) }
	ln, other := listen(), listen()
	w.lane = New(ln, o)
	quiet := slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	w.server, w.plain = &http.Server{Handler: counted, ErrorLog: quiet}, &http.Server{Handler: h, ErrorLog: quiet}
	go w.server.Serve(w.lane) // ended by Close below
	go w.plain.Serve(other)
	w.fast, w.slow = ln.Addr().String(), other.Addr().String()
	t.Cleanup(func() {
		_ = w.server.Close()
		_ = w.plain.Close()
		now, cancel := context.WithCancel(context.Background())
		cancel()
		_ = w.lane.Shutdown(now)
	})
	return w
}

// said is an answer as a client reads it.
type said struct {
	Status int
	Header http.Header
	Body   string
	Close  bool
}

// talk sends bytes and reads answers until the server closes or says nothing more.
func talk(t testing.TB, addr string, pieces ...string) (all []said) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, p := range pieces {
		if _, err := io.WriteString(c, p); err != nil {
			break // closed early: what it said is read below
		}
	}
	_ = c.(*net.TCPConn).CloseWrite() // nothing more comes, so the server's end is ours
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	in := bufio.NewReader(c)
	for {
		q := &http.Request{Method: http.MethodGet}
		if strings.HasPrefix(pieces[0], "HEAD") {
			q.Method = http.MethodHead // its answer has no body
		}
		r, err := http.ReadResponse(in, q)
		if err != nil {
			return all
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("half an answer: %v", err)
		}
		_ = r.Body.Close()
		r.Header.Del("Date")
		r.Header.Del("Content-Length") // net/http sends what is longer in chunks
		all = append(all, said{r.StatusCode, r.Header, string(body), r.Close})
	}
}

const fastHead = "GET /fast/1 HTTP/1.1\r\nHost: a.example\r\n"

// requests are heads in every form that matters, most of them net/http's to judge.
func requests() []string {
	return []string{
		fastHead + "\r\n",
		fastHead + "User-Agent: x\r\nACCEPT: a\r\naccept: b\r\nX-Odd_Name: 1\r\n\r\n",
		fastHead + "Connection: keep-alive\r\n\r\n",
		fastHead + "Connection: close\r\n\r\n",
		fastHead + "Want-Status: 410\r\n\r\n",
		fastHead + "Empty:\r\nSpaced: \t x \t\r\n\r\n",
		"GET /fast/1?a=b&c=%20d HTTP/1.1\r\nHost: a.example:80\r\n\r\n",
		"GET /fast/1? HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET /fast/%31 HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET /fast//1 HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET /fast/../1 HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET /fast/1 HTTP/1.0\r\nHost: a\r\n\r\n",
		"GET /fast/1 HTTP/1.1\r\n\r\n",
		"GET /fast/1 HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
		"GET /fast/1 HTTP/1.1\r\nHost: a b\r\n\r\n",
		"GET http://a.example/fast/1 HTTP/1.1\r\nHost: b.example\r\n\r\n",
		"GET /fast/1#x HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET /other HTTP/1.1\r\nHost: a\r\n\r\n",
		"HEAD /fast/1 HTTP/1.1\r\nHost: a\r\n\r\n",
		"POST /fast/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
		fastHead + "Content-Length: 3\r\n\r\nabc",
		fastHead + "Content-Length: 0\r\n\r\n",
		fastHead + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		fastHead + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		fastHead + "Expect: 100-continue\r\n\r\n",
		fastHead + "Bad Name: x\r\n\r\n",
		fastHead + " Folded: x\r\n\r\n",
		fastHead + "A: b\r\n c\r\n\r\n",
		fastHead + "A: b\x00\r\n\r\n",
		fastHead + "A: \xe8\x8c\xb6\r\n\r\n",
		fastHead + "A: b\rC: d\r\n\r\n",
		fastHead + "NoColon\r\n\r\n",
		fastHead + ": empty name\r\n\r\n",
		"GET /fast/1 HTTP/1.1\nHost: a\n\n",
		"GET  /fast/1 HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET /fast/1  HTTP/1.1\r\nHost: a\r\n\r\n",
		"get /fast/1 HTTP/1.1\r\nHost: a\r\n\r\n",
		fastHead + "X: " + strings.Repeat("y", 2000) + "\r\n\r\n",
		fastHead + "X: " + strings.Repeat("y", 6000) + "\r\n\r\n",
		fastHead + strings.Repeat("X: y\r\n", 60) + "\r\n",
		fastHead + "\r\n" + fastHead + "\r\n" + "GET /other HTTP/1.1\r\nHost: a\r\n\r\n" + fastHead + "\r\n",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"\r\n\r\n", "\x16\x03\x01\x00\xa5", "GET",
	}
}

func TestSameAsNetHTTP(t *testing.T) {
	t.Parallel()
	w := newWorld(t, echo, Options{})
	for _, q := range requests() {
		want, got := talk(t, w.slow, q), talk(t, w.fast, q)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%.200q (-net/http +lane):\n%s", q, diff)
		}
	}
}

func FuzzSameAsNetHTTP(f *testing.F) {
	for _, q := range requests() {
		f.Add([]byte(q))
	}
	w := newWorld(f, echo, Options{})
	f.Fuzz(func(t *testing.T, raw []byte) {
		if bytes.Contains(raw, []byte("PRI ")) {
			return
		}
		want, got := polite(talk(t, w.slow, string(raw))), polite(talk(t, w.fast, string(raw)))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (-net/http +lane):\n%s", raw, diff)
		}
	})
}

// polite leaves out that half a request after a whole one is refused: net/http does
// so only when it is a connection's first.
func polite(all []said) []said {
	if n := len(all); n > 1 && all[n-1].Status == http.StatusBadRequest && all[n-1].Close {
		return all[:n-1]
	}
	return all
}

// TestFastIsFast: what the lane should take it takes, what it should not goes on; else
// the comparison above would prove nothing.
func TestFastIsFast(t *testing.T) {
	t.Parallel()
	w := newWorld(t, echo, Options{})
	for range 3 {
		talk(t, w.fast, fastHead+"User-Agent: Mozilla/5.0 (Linux; Android 14)\r\nAccept: text/html,*/*;q=0.8\r\nCookie: a=b; c=\"d\"\r\n\r\n"+fastHead+"\r\n")
	}
	talk(t, w.fast, fastHead+"X: "+strings.Repeat("y", 2000)+"\r\n\r\n")
	if n := w.left.Load(); n != 0 {
		t.Errorf("%d plain requests went to net/http", n)
	}
	talk(t, w.fast, "GET /other HTTP/1.1\r\nHost: a\r\n\r\n"+fastHead+"\r\n")
	if n := w.left.Load(); n != 2 {
		t.Errorf("a connection that was given away came back: %d of 2 requests went to net/http", n)
	}
}

func TestPiecesAreNetHTTPs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, echo, Options{})
	c, err := net.Dial("tcp", w.fast)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	in := bufio.NewReader(c)
	for i := range len(fastHead) + 2 {
		if _, err := io.WriteString(c, (fastHead + "\r\n")[i:i+1]); err != nil {
			t.Fatal(err)
		}
	}
	r, err := http.ReadResponse(in, nil)
	if err != nil || r.StatusCode != http.StatusOK {
		t.Fatalf("%v %v", r, err)
	}
}

// TestShutdown: a request that is being answered is answered, an idle connection is
// closed, and Shutdown waits for both.
func TestShutdown(t *testing.T) {
	t.Parallel()
	inside, goOn := make(chan bool), make(chan bool)
	w := newWorld(t, func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/fast/wait" {
			inside <- true
			<-goOn
		}
		echo(rw, r)
	}, Options{})
	idle, err := net.Dial("tcp", w.fast)
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	_, _ = io.WriteString(idle, fastHead+"\r\n")
	idleIn := bufio.NewReader(idle)
	if r, err := http.ReadResponse(idleIn, nil); err != nil || r.StatusCode != http.StatusOK {
		t.Fatal(r, err)
	} else if _, err := io.Copy(io.Discard, r.Body); err != nil {
		t.Fatal(err)
	}
	answers := make(chan []said)
	go func() {
		answers <- talk(t, w.fast, "GET /fast/wait HTTP/1.1\r\nHost: a\r\n\r\n"+fastHead+"\r\n")
	}()
	<-inside
	ended := make(chan error)
	go func() { ended <- w.lane.Shutdown(t.Context()) }()
	if _, err := idleIn.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("the idle connection: %v, want it closed", err)
	}
	select {
	case err := <-ended:
		t.Fatalf("Shutdown did not wait: %v", err)
	default:
	}
	goOn <- true
	got := <-answers
	if len(got) != 1 || got[0].Status != 200 || !got[0].Close {
		t.Errorf("the request that was being answered: %+v; want one answer that closes", got)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if c, err := net.Dial("tcp", w.fast); err == nil {
		_ = c.Close()
		t.Error("it still listens")
	}
}

// TestSilenceEnds: nobody holds a connection for ever without asking, or without
// reading the answers.
func TestSilenceEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(rw http.ResponseWriter, _ *http.Request) { _, _ = rw.Write(make([]byte, 1<<20)) },
		Options{HeaderTimeout: 50 * time.Millisecond, IdleTimeout: 2 * time.Second})
	silent, err := net.Dial("tcp", w.fast)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	if _, err := silent.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("a connection that asks nothing: %v", err)
	}
	deaf, err := net.Dial("tcp", w.fast)
	if err != nil {
		t.Fatal(err)
	}
	defer deaf.Close()
	for range 200 { // more than the buffers between us hold
		if _, err := io.WriteString(deaf, fastHead+"\r\n"); err != nil {
			return // closed: that is the point
		}
	}
	for {
		if _, err := io.WriteString(deaf, fastHead+"\r\n"); err != nil {
			return
		}
	}
}

// TestPanicsEndOneConnection: the others go on.
func TestPanicsEndOneConnection(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/fast/panic" {
			panic("the roof is on fire")
		}
		echo(rw, r)
	}, Options{})
	if got := talk(t, w.fast, "GET /fast/panic HTTP/1.1\r\nHost: a\r\n\r\n"); len(got) != 0 {
		t.Errorf("a panic answered %+v", got)
	}
	if got := talk(t, w.fast, fastHead+"\r\n"); len(got) != 1 {
		t.Errorf("the next connection: %+v", got)
	}
}

// TestRequestsDoNotMix: what a handler kept of a request stays what it was.
func TestRequestsDoNotMix(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var kept []string
	w := newWorld(t, func(rw http.ResponseWriter, r *http.Request) {
		mu.Lock()
		kept = append(kept, r.URL.Path, r.Header.Get("X"))
		mu.Unlock()
		echo(rw, r)
	}, Options{})
	var q strings.Builder
	var want []string
	for i := range 50 {
		fmt.Fprintf(&q, "GET /fast/%d HTTP/1.1\r\nHost: a\r\nX: value %d\r\n\r\n", i, i)
		want = append(want, fmt.Sprint("/fast/", i), fmt.Sprint("value ", i))
	}
	if got := talk(t, w.fast, q.String()); len(got) != 50 {
		t.Errorf("%d answers", len(got))
	}
	if diff := cmp.Diff(want, kept); diff != "" {
		t.Error(diff)
	}
}

func BenchmarkParse(b *testing.B) {
	head := []byte("GET /fast/123456789012345678/verify HTTP/1.1\r\nHost: verify.example.com\r\nUser-Agent: Mozilla/5.0 (Linux; Android 14; K) AppleWebKit/537.36\r\n" +
		"Accept: application/json\r\nAccept-Language: zh-CN,zh;q=0.9\r\nAccept-Encoding: gzip, br\r\n\r\n")
	one, two := net.Pipe()
	defer one.Close()
	defer two.Close()
	var q request
	q.init(one)
	b.ReportAllocs()
	for b.Loop() {
		if !q.parse(head, takes) {
			b.Fatal("not taken")
		}
	}
}
