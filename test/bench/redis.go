package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/redisdb"
	"github.com/chopmark/chopmark/internal/verify"
	"github.com/chopmark/chopmark/internal/verify/verifyevent"
	"github.com/chopmark/chopmark/internal/verify/verifyredis"
	"github.com/chopmark/chopmark/test/servers"
)

const (
	redisItems   = 20_000
	redisClients = 64
	redisScans   = 300_000 // of each side in each round
	redisRounds  = 3
	redisScripts = "internal/verify/verifyredis"
)

// benchRedis counts scans through our client, and the same script by redis-benchmark,
// in turns on one server: scans for each second of the server's processor.
func benchRedis(ctx context.Context, b *bench) (err error) {
	dir := b.data("redis")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	s, err := servers.StartRedis(dir)
	if err != nil {
		return err
	}
	defer s.Kill()
	db, err := redisdb.Open(ctx, redisdb.Config{URL: s.URL(), Budget: 5 * time.Second}) // throughput is measured, not patience
	if err != nil {
		return err
	}
	defer db.Close()
	counts := verifyredis.New(db, noSummary{}, verifyredis.Options{})
	peer, err := newPeer(s)
	if err != nil {
		return err
	}
	if err := errors.Join(peer.run(ctx, redisItems*10, "1", "1", "1000000", "中国|浙江|杭州|30250000|120160000", "1000000", ""), ours(counts, redisItems*2)); err != nil {
		return err // the items are there now, on both sides
	}
	var ourRate, theirRate float64
	for range redisRounds {
		their, err := perCPU(s, func() error { return peer.run(ctx, redisScans) })
		if err != nil {
			return err
		}
		our, err := perCPU(s, func() error { return ours(counts, redisScans) })
		if err != nil {
			return err
		}
		ourRate, theirRate = ourRate+our/redisRounds, theirRate+their/redisRounds
	}
	b.rowf(fmt.Sprintf("scans counted for each CPU second of Redis, %d at once", redisClients), "", "%.0f; the same script by redis-benchmark -P 16: %.0f", ourRate, theirRate)
	b.rowf("ours / redis-benchmark's", "≥ 0.70", "%.2f", ourRate/theirRate)
	return nil
}

type noSummary struct{}

func (noSummary) Tally(context.Context, ids.Serial) (verify.Sum, bool, error) {
	return verify.Sum{}, false, nil
}

// ours counts scans as a verifying process does.
func ours(counts *verifyredis.Counts, scans int64) error {
	place := &verify.Place{Place: verifyevent.Place{Country: "中国", Province: "浙江", City: "杭州"}, Lat: 30.25, Lon: 120.16, Located: true}
	var next, failed atomic.Int64
	var wg sync.WaitGroup
	start := time.Now()
	for range redisClients {
		wg.Go(func() {
			for n := next.Add(1); n <= scans; n = next.Add(1) {
				_, _, err := counts.Count(&verify.Sighting{
					Item: &verify.Item{Serial: ids.Serial(n * 7919 % redisItems)}, At: start, Device: uint64(n%3) << 32, Place: place,
				}, verify.Sum{})
				if err != nil {
					failed.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if n := failed.Load(); n > scans/100 {
		return fmt.Errorf("%d of %d scans were not counted", n, scans)
	}
	return nil
}

// peer runs the script by redis-benchmark.
type peer struct{ port, sha string }

func newPeer(s *servers.RedisServer) (peer, error) {
	var text strings.Builder
	for _, name := range []string{"sum.lua", "count.lua"} {
		part, err := os.ReadFile(filepath.Join(redisScripts, name))
		if err != nil {
			return peer{}, fmt.Errorf("read the script (this bench runs in the repository's root): %w", err)
		}
		text.Write(part)
	}
	sha, err := s.Command("SCRIPT", "LOAD", text.String())
	_, port, _ := strings.Cut(s.Addr, ":")
	return peer{port, sha}, err
}

// run counts so many scans; known is what is told of an item that may be new.
func (p peer) run(ctx context.Context, scans int, known ...string) error {
	args := []string{
		"-h", "127.0.0.1", "-p", p.port, "-q", "-P", "16", "-c", strconv.Itoa(redisClients), "-n", strconv.Itoa(scans), "-r", strconv.Itoa(redisItems),
		"EVALSHA", p.sha, "1", "chopmark:{s00}:__rand_int__", "peer__rand_int__", strconv.FormatInt(time.Now().UnixMicro(), 10), "2",
		"中国|浙江|杭州|30250000|120160000", "604800000", "0", "0",
	}
	out, err := exec.CommandContext(ctx, "redis-benchmark", append(args, known...)...).CombinedOutput()
	if err != nil || strings.Contains(string(out), "ERR") {
		return fmt.Errorf("redis-benchmark: %w\n%s", err, out)
	}
	return nil
}

// perCPU gives scans for each second of the server's processor.
func perCPU(s *servers.RedisServer, work func() error) (float64, error) {
	before, err := redisCPU(s)
	if err != nil {
		return 0, err
	}
	if err := work(); err != nil {
		return 0, err
	}
	after, err := redisCPU(s)
	return redisScans / (after - before), err
}

func redisCPU(s *servers.RedisServer) (sum float64, _ error) {
	text, err := s.Command("INFO", "cpu")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if name == "used_cpu_user" || name == "used_cpu_sys" {
			n, err := strconv.ParseFloat(value, 64)
			if err != nil {
				return 0, err
			}
			sum += n
		}
	}
	return sum, nil
}
