package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/chopmark/chopmark/internal/codebook"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/keyset"
	"github.com/chopmark/chopmark/internal/keyset/keysetfile"
	"github.com/chopmark/chopmark/test/harness"
	"github.com/chopmark/chopmark/test/load"
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
	_, err := drive(ctx, url, &asking{codes: codes, once: true}, load.Steady(0, 32, 0))
	return err
}

// asking is the work of a bench: codes in their order or at random, of which every
// answer must be a 200 that says valid. The bare handler gives one body for all, so
// nothing else can be asked of an answer.
type asking struct {
	codes []string
	once  bool
	next  atomic.Int64
}

// Next implements load.Work.
func (w *asking) Next(q *load.Query) bool {
	i := rand.IntN(len(w.codes))
	if w.once {
		if i = int(w.next.Add(1) - 1); i >= len(w.codes) {
			return false
		}
	}
	q.Path = append(append(append(q.Path[:0], "/api/v1/codes/"...), w.codes[i]...), "/verify"...)
	return true
}

// Judge implements load.Work.
func (*asking) Judge(_ *load.Query, a *load.Answer) error {
	if a.Status != http.StatusOK || !bytes.Contains(a.Body, []byte(`"valid":true`)) {
		return fmt.Errorf("answered %d %.200s", a.Status, a.Body)
	}
	return nil
}

// drive runs one stage; every answer must come and be right.
func drive(ctx context.Context, url string, work load.Work, stage load.Stage) (*load.Result, error) {
	transport, err := load.NewTransport(url, false)
	if err != nil {
		return nil, err
	}
	results, err := load.Run(ctx, transport, work, []load.Stage{stage}, nil)
	if err != nil {
		return nil, err
	}
	r := results[0]
	if bad := r.Wrong() + r.Unanswered(); bad > 0 {
		return nil, fmt.Errorf("%d requests went wrong, %d answers came: %q", bad, r.Answers(), r.First())
	}
	return r, nil
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
	work := &asking{codes: codes}
	if err := verifyAll(ctx, server.URL, codes[:20_000]); err != nil { // warm
		return err
	}
	var ourCPU, bareCPU, ourWall time.Duration
	var ourN, bareN int64
	var latencies load.Histogram
	for range verifyPairs {
		cpu, r, err := measure(ctx, bare.url, work, bare.pid())
		if err != nil {
			return err
		}
		bareCPU, bareN = bareCPU+cpu, bareN+r.Answers()
		if cpu, r, err = measure(ctx, server.URL, work, server.Pid()); err != nil {
			return err
		}
		ourCPU, ourN, ourWall = ourCPU+cpu, ourN+r.Answers(), ourWall+r.Took
		latencies.Add(r.All())
	}
	us := func(d time.Duration, n int64) float64 { return float64(d.Microseconds()) / float64(n) }
	b.rowf("verify over HTTP, durable sighting: bare CPU per request / ours", "≥ 0.60 (next issue)", "%.2f (bare %.1f µs, ours %.1f µs)",
		us(bareCPU, bareN)/us(ourCPU, ourN), us(bareCPU, bareN), us(ourCPU, ourN))
	b.rowf(fmt.Sprintf("  at full speed over %d connections, client on the same cores", verifyConns), "",
		"%.0f/s, p50 %v, p99 %v", float64(ourN)/ourWall.Seconds(), latencies.Quantile(0.5).Round(10*time.Microsecond),
		latencies.Quantile(0.99).Round(10*time.Microsecond))
	return nil
}

func measure(ctx context.Context, url string, work load.Work, pid int) (time.Duration, *load.Result, error) {
	before, err := harness.CPU(pid)
	if err != nil {
		return 0, nil, err
	}
	r, err := drive(ctx, url, work, load.Steady(verifyFor, verifyConns, 0))
	if err != nil {
		return 0, nil, err
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
