package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
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

// book makes codes of the numbers of the first shard's run, with the keys of the data
// directory: a bench is a trusted machine.
type book struct{ items *codebook.Items }

func itemsOf(ctx context.Context, data string) (book, error) {
	set, err := keysetfile.New(filepath.Join(data, "keyset.json")).Load(ctx)
	if err != nil {
		return book{}, err
	}
	return book{codebook.NewItems(keyset.Subkey(set.Current(keyset.Codebook)))}, nil
}

func (b book) code(n int64) (string, error) {
	serial, err := ids.NewSerial(0, ids.ShardOf(firstBrand), n)
	if err != nil {
		return "", err
	}
	return b.items.Code(serial).String(), nil
}

const firstBrand = 1001 // of a new installation

// randomCodes makes codes of random numbers.
func randomCodes(ctx context.Context, data string, numbers int64, n int) ([]string, error) {
	return pickedCodes(ctx, data, n, func() int64 { return rand.Int64N(numbers) })
}

func pickedCodes(ctx context.Context, data string, n int, pick func() int64) ([]string, error) {
	items, err := itemsOf(ctx, data)
	if err != nil {
		return nil, err
	}
	codes := make([]string, n)
	for i := range codes {
		if codes[i], err = items.code(pick()); err != nil {
			return nil, err
		}
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
	verifyConns = 256
	verifyPairs = 3 // bare and ours in turns, so that a noisy machine hits both
)

// tally is what a server did over some stretches of load.
type tally struct {
	cpu, wall time.Duration
	answers   int64
	latency   load.Histogram
	consumed  float64 // scan records written meanwhile
}

func (t *tally) us() float64 { return float64(t.cpu.Microseconds()) / float64(t.answers) }

func (t *tally) rate() float64 { return float64(t.answers) / t.wall.Seconds() }

// benchVerify compares the server's processor time for a verify request with that
// of a bare handler that sends the same bytes, in the same run: durable, with the
// consumers of scans running, and with --scan-ack async.
func benchVerify(ctx context.Context, b *bench) error {
	durable, codes, err := b.verifyServer(ctx, "durable")
	if err != nil {
		return err
	}
	defer durable.Kill()
	async, asyncCodes, err := b.verifyServer(ctx, "async", "--scan-ack", "async")
	if err != nil {
		return err
	}
	defer async.Kill()
	bare, err := startBare(ctx, b.self, durable.URL, codes[0])
	if err != nil {
		return err
	}
	defer bare.stop()
	var ours, late, peer tally
	for range verifyPairs {
		for _, side := range []struct {
			t    *tally
			url  string
			pid  int
			work []string
			s    *harness.Server
		}{
			{&peer, bare.url, bare.pid(), codes, nil}, {&ours, durable.URL, durable.Pid(), codes, durable}, {&late, async.URL, async.Pid(), asyncCodes, async},
		} {
			if err := quiet(ctx, durable, async); err != nil {
				return err
			}
			if err := side.t.add(ctx, side.url, &asking{codes: side.work}, side.pid, side.s); err != nil {
				return err
			}
		}
	}
	b.rowf("verify over HTTP/1.1, durable, consumers running: bare CPU per request / ours", "≥ 0.60, stretch 0.70", "%.2f (bare %.1f µs, ours %.1f µs)",
		peer.us()/ours.us(), peer.us(), ours.us())
	b.rowf(fmt.Sprintf("  at full speed over %d connections, client on the same cores", verifyConns), "", "%.0f/s, p50 %v, p99 %v",
		ours.rate(), micros(ours.latency.Quantile(0.5)), micros(ours.latency.Quantile(0.99)))
	b.rowf("  scan records written beside it", "≥ 10,000/s", "%.0f/s", ours.consumed/ours.wall.Seconds())
	b.rowf("the same with --scan-ack async", "≥ 0.70", "%.2f (ours %.1f µs)", peer.us()/late.us(), late.us())
	if _, err := drive(ctx, durable.URL, &asking{codes: codes}, load.Steady(2*verifyFor, verifyConns, 0)); err != nil {
		return err
	}
	return b.drained(ctx, durable)
}

func micros(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }

// verifyServer starts a server with a million active codes, warm.
func (b *bench) verifyServer(ctx context.Context, name string, args ...string) (*harness.Server, []string, error) {
	server, err := harness.Start(ctx, b.bin, b.data(name), args...)
	if err != nil {
		return nil, nil, err
	}
	s, err := openShop(ctx, server)
	if err == nil {
		_, err = s.batch(ctx, "V", 1_000_000, "off")
	}
	var codes []string
	if err == nil {
		codes, err = randomCodes(ctx, b.data(name), 1_000_000, 100_000)
	}
	if err == nil {
		err = verifyAll(ctx, server.URL, codes[:20_000])
	}
	if err != nil {
		server.Kill()
	}
	return server, codes, err
}

// add runs a stretch at full speed; s is the server where its consumers count.
func (t *tally) add(ctx context.Context, url string, work load.Work, pid int, s *harness.Server) error {
	before := 0.0
	if s != nil {
		var err error
		if before, err = written(ctx, s); err != nil {
			return err
		}
	}
	cpu, r, err := measure(ctx, url, work, pid)
	if err != nil {
		return err
	}
	if s != nil {
		after, err := written(ctx, s)
		if err != nil {
			return err
		}
		t.consumed += after - before
	}
	t.cpu, t.answers, t.wall = t.cpu+cpu, t.answers+r.Answers(), t.wall+r.Took
	t.latency.Add(r.All())
	return nil
}

// written is how many scans have their record.
func written(ctx context.Context, s *harness.Server) (float64, error) {
	return s.Metric(ctx, `chopmark_scans_consumed_total{group="scan-records"}`)
}

func behind(ctx context.Context, s *harness.Server) (lag float64, err error) {
	for _, group := range []string{"scan-records", "scan-statistics"} {
		n, err := s.Metric(ctx, `chopmark_stream_lag_records{group="`+group+`"}`)
		if err != nil {
			return 0, err
		}
		lag = max(lag, n)
	}
	return lag, nil
}

// quiet waits until the consumers of servers have nothing left to do: what one of them
// makes up for must not be counted against the next.
func quiet(ctx context.Context, servers ...*harness.Server) error {
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	for _, s := range servers {
		for {
			lag, err := behind(ctx, s)
			if err != nil {
				return err
			}
			if lag == 0 {
				break
			}
			<-poll.C
		}
	}
	return nil
}

// drained times what the consumers still had to do when the load ended.
func (b *bench) drained(ctx context.Context, s *harness.Server) error {
	before, err := written(ctx, s)
	if err != nil {
		return err
	}
	cpu, err := s.CPU()
	if err != nil {
		return err
	}
	begun := time.Now()
	if err := quiet(ctx, s); err != nil {
		return err
	}
	took := time.Since(begun)
	after, err := written(ctx, s)
	if err != nil {
		return err
	}
	used, err := s.CPU()
	b.rowf(fmt.Sprintf("scan records and statistics of %.0f scans that were left, alone", after-before), "≥ 30,000 scans/s", "%.0f/s, %.1f µs of CPU each",
		(after-before)/took.Seconds(), float64((used-cpu).Microseconds())/max(1, after-before))
	return err
}

// benchTail looks at latency at 60 % of the server's own peak.
func benchTail(ctx context.Context, b *bench) error {
	server, codes, err := b.verifyServer(ctx, "tail")
	if err != nil {
		return err
	}
	defer server.Kill()
	peak, err := drive(ctx, server.URL, &asking{codes: codes}, load.Steady(verifyFor, verifyConns, 0))
	if err != nil {
		return err
	}
	rate := float64(peak.Answers()) / peak.Took.Seconds()
	r, err := drive(ctx, server.URL, &asking{codes: codes}, load.Steady(2*verifyFor, verifyConns, 0.6*rate))
	if err != nil {
		return err
	}
	b.rowf(fmt.Sprintf("verify at 60 %% of its own peak (%.0f of %.0f/s)", 0.6*rate, rate), "p99 ≤ 20 ms, p99.9 ≤ 100 ms", "p50 %v, p99 %v, p99.9 %v",
		micros(r.All().Quantile(0.5)), micros(r.All().Quantile(0.99)), micros(r.All().Quantile(0.999)))
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
	server := &http.Server{Protocols: &http.Protocols{}, ErrorLog: log.New(io.Discard, "", 0), Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h["Content-Type"], h["Content-Length"], h["Cache-Control"] = kind, length, cache
		h["Vary"], h["Access-Control-Allow-Origin"], h["X-Request-Id"] = vary, origin, id
		_, _ = w.Write(body)
	})}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	return server.Serve(ln)
}
