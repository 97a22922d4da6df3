package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chopmark/chopmark/internal/codebook"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/keyset"
	"github.com/chopmark/chopmark/internal/keyset/keysetfile"
	"github.com/chopmark/chopmark/test/harness"
)

// randomCodes makes codes of random numbers of the first shard's run, with the keys
// of the data directory: a bench is a trusted machine.
func randomCodes(ctx context.Context, data string, numbers int64, n int) ([]string, error) {
	set, err := keysetfile.New(filepath.Join(data, "keyset.json")).Load(ctx)
	if err != nil {
		return nil, err
	}
	items := codebook.NewItems(keyset.Subkey(set.Current(keyset.Codebook)))
	shard := ids.ShardOf(1001) // the first brand of a new installation
	codes := make([]string, n)
	for i := range codes {
		serial, err := ids.NewSerial(0, shard, rand.Int64N(numbers))
		if err != nil {
			return nil, err
		}
		codes[i] = items.Code(serial).String()
	}
	return codes, nil
}

// verifyAll verifies every code once, over a few connections; each must be valid.
func verifyAll(ctx context.Context, url string, codes []string) error {
	load := &load{url: url, codes: codes, conns: 32}
	r, err := load.once(ctx)
	if err == nil && r.bad > 0 {
		err = fmt.Errorf("%d of %d random codes were not valid", r.bad, len(codes))
	}
	return err
}

// load sends verify requests over raw connections: a client that costs little.
type load struct {
	url   string
	codes []string
	conns int
}

type result struct {
	sent, bad int64
	took      time.Duration
	latencies []time.Duration
}

// once sends every code once.
func (l *load) once(ctx context.Context) (result, error) {
	var next atomic.Int64
	return l.run(ctx, func() (string, bool) {
		i := next.Add(1) - 1
		if i >= int64(len(l.codes)) {
			return "", false
		}
		return l.codes[i], true
	})
}

// during sends random codes for a time.
func (l *load) during(ctx context.Context, d time.Duration) (result, error) {
	end := time.Now().Add(d)
	return l.run(ctx, func() (string, bool) {
		return l.codes[rand.IntN(len(l.codes))], time.Now().Before(end)
	})
}

func (l *load) run(ctx context.Context, next func() (string, bool)) (result, error) {
	var total result
	var mu sync.Mutex
	var wg sync.WaitGroup
	var failed error
	begun := time.Now()
	for range l.conns {
		wg.Go(func() {
			r, err := l.connection(ctx, next)
			mu.Lock()
			defer mu.Unlock()
			total.sent += r.sent
			total.bad += r.bad
			total.latencies = append(total.latencies, r.latencies...)
			failed = errors.Join(failed, err)
		})
	}
	wg.Wait()
	total.took = time.Since(begun)
	slices.Sort(total.latencies)
	return total, failed
}

// connection speaks HTTP/1.1 by hand: one request, one answer, over and over.
func (l *load) connection(ctx context.Context, next func() (string, bool)) (r result, err error) {
	host := strings.TrimPrefix(l.url, "http://")
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", host)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	in := bufio.NewReaderSize(conn, 8<<10)
	var out []byte
	for ctx.Err() == nil {
		code, ok := next()
		if !ok {
			return r, nil
		}
		out = append(append(append(out[:0], "GET /api/v1/codes/"...), code...), "/verify HTTP/1.1\r\nHost: bench\r\n\r\n"...)
		begun := time.Now()
		if _, err := conn.Write(out); err != nil {
			return r, err
		}
		good, err := readAnswer(in)
		if err != nil {
			return r, err
		}
		r.latencies = append(r.latencies, time.Since(begun))
		r.sent++
		if !good {
			r.bad++
		}
	}
	return r, ctx.Err()
}

var contentLength = []byte("Content-Length: ")

// readAnswer reads one answer; good is a 200 whose body says that it is valid.
func readAnswer(in *bufio.Reader) (good bool, _ error) {
	length := 0
	for first := true; ; first = false {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return false, err
		}
		if first {
			good = strings.HasPrefix(string(line), "HTTP/1.1 200")
		}
		if len(line) <= 2 {
			break
		}
		if bytes.HasPrefix(line, contentLength) {
			if length, err = strconv.Atoi(strings.TrimSpace(string(line[len(contentLength):]))); err != nil {
				return false, err
			}
		}
	}
	body, err := in.Peek(length)
	if err != nil {
		return false, err
	}
	good = good && strings.Contains(string(body), `"valid":true`)
	_, err = in.Discard(length)
	return good, err
}

const (
	verifyFor   = 5 * time.Second
	verifyConns = 64
	verifyPairs = 3 // bare and ours in turns, so that a noisy machine hits both
)

// benchVerify compares the server's processor time for a verify request with that
// of a bare handler that sends the same bytes, in the same run.
func benchVerify(ctx context.Context, b *bench) error {
	server, err := harness.Start(ctx, b.bin, b.data("verify"))
	if err != nil {
		return err
	}
	defer server.Kill()
	s, err := openShop(ctx, server)
	if err != nil {
		return err
	}
	if _, err := s.batch(ctx, "V", 1_000_000, "off"); err != nil {
		return err
	}
	codes, err := randomCodes(ctx, b.data("verify"), 1_000_000, 100_000)
	if err != nil {
		return err
	}
	bare, err := startBare(ctx, b.self, server.URL, codes[0])
	if err != nil {
		return err
	}
	defer bare.stop()
	ours := &load{url: server.URL, codes: codes, conns: verifyConns}
	peer := &load{url: bare.url, codes: codes, conns: verifyConns}
	if err := verifyAll(ctx, server.URL, codes[:20_000]); err != nil { // warm
		return err
	}
	var ourCPU, bareCPU, ourWall time.Duration
	var ourN, bareN int64
	var latencies []time.Duration
	for range verifyPairs {
		cpu, r, err := measure(ctx, peer, bare.pid())
		if err != nil {
			return err
		}
		bareCPU, bareN = bareCPU+cpu, bareN+r.sent
		if cpu, r, err = measure(ctx, ours, server.Pid()); err != nil {
			return err
		}
		ourCPU, ourN, ourWall = ourCPU+cpu, ourN+r.sent, ourWall+r.took
		latencies = append(latencies, r.latencies...)
	}
	slices.Sort(latencies)
	us := func(d time.Duration, n int64) float64 { return float64(d.Microseconds()) / float64(n) }
	b.rowf("verify over HTTP, durable sighting: bare CPU per request / ours", "≥ 0.60 (next issue)", "%.2f (bare %.1f µs, ours %.1f µs)",
		us(bareCPU, bareN)/us(ourCPU, ourN), us(bareCPU, bareN), us(ourCPU, ourN))
	b.rowf(fmt.Sprintf("  at full speed over %d connections, client on the same cores", verifyConns), "",
		"%.0f/s, p50 %v, p99 %v", float64(ourN)/ourWall.Seconds(), latencies[len(latencies)/2].Round(10*time.Microsecond),
		latencies[len(latencies)*99/100].Round(10*time.Microsecond))
	return nil
}

func measure(ctx context.Context, l *load, pid int) (time.Duration, result, error) {
	before, err := harness.CPU(pid)
	if err != nil {
		return 0, result{}, err
	}
	r, err := l.during(ctx, verifyFor)
	if err != nil {
		return 0, r, err
	}
	if r.bad > 0 {
		return 0, r, fmt.Errorf("%d of %d answers were wrong", r.bad, r.sent)
	}
	after, err := harness.CPU(pid)
	return after - before, r, err
}

// bareServer is the peer process.
type bareServer struct {
	cmd *exec.Cmd
	url string
}

// startBare starts the peer with the bytes of a real answer.
func startBare(ctx context.Context, self, from, code string) (*bareServer, error) {
	resp, err := http.Get(from + "/api/v1/codes/" + code + "/verify")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, "bare")
	cmd.Stdin, cmd.Stderr = strings.NewReader(string(body)), os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	return &bareServer{cmd, strings.TrimSpace(line)}, err
}

func (b *bareServer) pid() int { return b.cmd.Process.Pid }

func (b *bareServer) stop() {
	_ = b.cmd.Process.Kill() // it may have ended already
	_ = b.cmd.Wait()         // killed: its error is ours
}

// serveBare answers every request with what stdin held, with the headers of our
// own answer.
func serveBare() error {
	body, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println("http://" + ln.Addr().String())
	length := []string{strconv.Itoa(len(body))}
	one := func(v string) []string { return []string{v} }
	kind, cache, vary, origin := one("application/json; charset=utf-8"), one("no-store"), one("Accept, Accept-Language"), one("*")
	id := one("req_0123456789abcd1")
	return http.Serve(ln, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h["Content-Type"], h["Content-Length"], h["Cache-Control"] = kind, length, cache
		h["Vary"], h["Access-Control-Allow-Origin"], h["X-Request-Id"] = vary, origin, id
		_, _ = w.Write(body)
	}))
}
