package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"time"

	"github.com/chopmark/chopmark/test/harness"
	"github.com/chopmark/chopmark/test/load"
)

const (
	idleConns  = 15_000 // the limit of descriptors of a process is often 20,000
	slowConns  = 500
	goodRate   = 5_000
	goodConns  = 32
	floodConns = 32
	resetConns = 8
	resetLead  = time.Second // in which the server sees what they do; then others come
	// leastUrgent is added to the niceness of this program, and is the most that there is: attackers
	// have machines of their own, so here they get what is left.
	leastUrgent = "39"
)

// benchStrangers scans right codes at a steady rate, alone and beside what should not
// slow them: idle connections, slow ones, requests that are taken back, handshakes that stay
// half-open, codes in every wrong form.
func benchStrangers(ctx context.Context, b *bench) error {
	server, codes, err := b.verifyServer(ctx, "strangers", "--tls-listen", "127.0.0.1:0", "--tls-self-signed")
	if err != nil {
		return err
	}
	defer server.Kill()
	goodAt := func(url string) (*load.Result, error) {
		stage := load.Steady(verifyFor, goodConns, goodRate)
		stage.AllowShed = true // in the moment in which a crowd arrives
		return drive(ctx, url, &asking{codes: codes}, stage)
	}
	good := func() (*load.Result, error) { return goodAt(server.URL) }
	alone, err := good()
	if err != nil {
		return err
	}
	show := func(what string, r *load.Result) {
		b.rowf(fmt.Sprintf("%d scans/s of right codes %s: p50, p99", goodRate, what), "", "%v, %v; %d told to come back",
			micros(r.All().Quantile(0.5)), micros(r.All().Quantile(0.99)), r.Shed())
	}
	show("alone", alone)
	if err := b.idle(ctx, server, codes[0], good, show); err != nil {
		return err
	}
	if err := b.slow(ctx, server, codes[0], good, show); err != nil {
		return err
	}
	if err := b.resets(ctx, server, codes, goodAt, show); err != nil {
		return err
	}
	if err := b.halfOpen(ctx, server, codes[0], good, show); err != nil {
		return err
	}
	return b.flood(ctx, server, codes, good, show)
}

func verifyPath(code string) string { return "/api/v1/codes/" + code + "/verify" }

func (b *bench) idle(ctx context.Context, s *harness.Server, code string, good func() (*load.Result, error), show func(string, *load.Result)) error {
	before, err := harness.ResidentMB(s.Pid())
	if err != nil {
		return err
	}
	crowd, err := load.Idle(ctx, s.URL, verifyPath(code), idleConns)
	if err != nil {
		return err
	}
	defer crowd.Close()
	after, err := harness.ResidentMB(s.Pid())
	if err != nil {
		return err
	}
	each := (after - before) * 1024 / idleConns
	b.rowf(fmt.Sprintf("%d idle connections: resident each", idleConns), "", "%.1f KB, so 100,000 take %.2f GB; beyond %d a process needs a higher limit of descriptors",
		each, each*100_000/1024/1024, 20_000)
	r, err := good()
	if err != nil {
		return err
	}
	show("beside them", r)
	return crowd.Ask(ctx, verifyPath(code))
}

func (b *bench) slow(ctx context.Context, s *harness.Server, code string, good func() (*load.Result, error), show func(string, *load.Result)) error {
	readers, err := load.SlowReaders(ctx, s.URL, verifyPath(code), slowConns)
	if err != nil {
		return err
	}
	defer readers.Close()
	writers, err := load.SlowWriters(ctx, s.URL, slowConns)
	if err != nil {
		return err
	}
	defer writers.Close()
	r, err := good()
	if err != nil {
		return err
	}
	show(fmt.Sprintf("beside %d slow readers and %d slow writers", slowConns, slowConns), r)
	return nil
}

// resets asks over HTTP/2 and takes it back at once, from a process of its own: scans are not
// to wait for the attackers' goroutines. The same is done to a bare handler of net/http.
func (b *bench) resets(ctx context.Context, s *harness.Server, codes []string, good func(string) (*load.Result, error), show func(string, *load.Result)) error {
	bare, err := startBare(ctx, b.self, s.URL, codes[0])
	if err != nil {
		return err
	}
	defer bare.stop()
	for _, of := range []struct{ what, url string }{{"", s.URL}, {" at a bare handler of net/http", bare.url}} {
		crowd := exec.CommandContext(ctx, "nice", "-n", leastUrgent, b.self, "resets", of.url, verifyPath(codes[0]))
		stop, err := crowd.StdinPipe()
		if err != nil {
			return err
		}
		out, err := crowd.StdoutPipe()
		if err != nil {
			return err
		}
		crowd.Stderr = os.Stderr
		if err := crowd.Start(); err != nil {
			return err
		}
		lines := bufio.NewScanner(out)
		lines.Scan() // it attacks
		r, err := good(of.url)
		err = errors.Join(err, stop.Close())
		lines.Scan() // what it did
		err = errors.Join(err, lines.Err(), crowd.Wait())
		if err != nil {
			return err
		}
		show(fmt.Sprintf("beside %d connections that reset each request (%s)%s", resetConns, lines.Text(), of.what), r)
	}
	return nil
}

// attackWithResets does so until its input ends, and says what it did. It comes from an address
// of this machine that is not loopback, which the server takes for a stranger's.
func attackWithResets(url, path string) error {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return err
	}
	var from net.Addr
	for _, one := range all {
		if ip, ok := one.(*net.IPNet); ok && ip.IP.To4() != nil && !ip.IP.IsLoopback() {
			from = &net.TCPAddr{IP: ip.IP}
		}
	}
	start := time.Now()
	crowd, err := load.RapidResets(context.Background(), url, path, from, resetConns)
	if err != nil {
		return err
	}
	time.Sleep(resetLead)
	fmt.Println("attacking")
	_, err = io.Copy(io.Discard, os.Stdin)
	crowd.Close()
	fmt.Printf("from %v: %.0f/s, %d connections ended or not taken\n", from, float64(crowd.Asked())/time.Since(start).Seconds(), crowd.Ended())
	return err
}

// flood asks for codes in every wrong form as fast as the answers come.
func (b *bench) flood(ctx context.Context, s *harness.Server, codes []string, good func() (*load.Result, error), show func(string, *load.Result)) error {
	ours, err := loadCodes(codes)
	if err != nil {
		return err
	}
	work, err := load.NewScan(ours, load.ScanOptions{Mix: load.Mix{load.Malformed: 1}, Expect: []string{"authentic"}})
	if err != nil {
		return err
	}
	var bad *load.Result
	var badErr error
	var wg sync.WaitGroup
	wg.Go(func() { bad, badErr = drive(ctx, s.URL, work, load.Steady(verifyFor+time.Second, floodConns, 0)) })
	r, err := good()
	wg.Wait()
	if err != nil {
		return err
	}
	if badErr != nil {
		return badErr
	}
	show(fmt.Sprintf("beside %.0f malformed codes/s, each answered as it must be", float64(bad.Answers())/bad.Took.Seconds()), r)
	return nil
}

func loadCodes(codes []string) (load.Codes, error) {
	numbers := make([]uint64, len(codes))
	for i, code := range codes {
		n, err := strconv.ParseUint(code, 10, 64)
		if err != nil {
			return nil, err
		}
		numbers[i] = n
	}
	return load.NewCodes(numbers)
}
