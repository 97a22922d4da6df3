package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chopmark/chopmark/test/harness"
	"github.com/chopmark/chopmark/test/servers"
)

const (
	database  = "chopmark"
	diskMB    = 1024             // of MariaDB
	startTime = 90 * time.Second // in which a process must have started, tried as often as it ends
	startRest = 300 * time.Millisecond
)

// Options of a run.
type Options struct {
	Server   string // the path of the server's binary
	Dir      string // an empty directory
	Rounds   int
	Only     []string // names of faults; nil = all
	Seed     uint64   // of the random choices
	Scans    int      // after how many rounds scans are looked at, for which all must be consumed; 0 = each
	Progress func(done *Report)
	Enough   <-chan struct{} // closed when no further round shall begin; may be nil
}

// world is the servers, the processes and who works on them.
type world struct {
	Options

	rng    *rand.Rand
	ledger *ledger
	pause  sync.RWMutex // held for reading while somebody works
	actors []*actor
	probed int      // how often; for keys
	probes []string // a code for each edge, scanned to see whether it answers

	sql      *servers.MariaDBServer
	noDisk   error   // why its disk cannot be filled
	admin    *sql.DB // not by way of the proxy
	sqlWay   *servers.Proxy
	kafka    *servers.KafkaServer
	kafkaWay *servers.Proxy
	redis    *redisSet
	rolesWay *servers.Proxy
	issue    *process
	worker   *process
	edges    []*process
	told     string // the cursor behind the events that were looked at
	dense    [shards]int64
	closers  []func()
}

// process is one of the program's, under the name of its certificate.
type process struct {
	name   string
	bin    string
	data   string
	args   []string
	server atomic.Pointer[harness.Server]
}

func (p *process) now() *harness.Server { return p.server.Load() }

// start runs the process, again when it ends at its start, as what looks after it would do.
func (p *process) start(ctx context.Context) error {
	for begun := time.Now(); ; {
		s, err := harness.Start(ctx, p.bin, p.data, p.args...)
		if err == nil {
			p.server.Store(s)
			return nil
		}
		if ctx.Err() != nil || time.Since(begun) > startTime {
			return fmt.Errorf("%s does not start: %w", p.name, err)
		}
		wait(ctx, startRest)
	}
}

// newWorld starts everything and gives the actors what they work on.
func newWorld(ctx context.Context, o Options) (*world, error) {
	w := &world{Options: o, rng: rand.New(rand.NewPCG(o.Seed, 0)), ledger: newLedger()}
	err := w.open(ctx)
	if err == nil {
		err = w.found(ctx)
	}
	if err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

func (w *world) close() {
	for _, closer := range slices.Backward(w.closers) {
		closer()
	}
}

func (w *world) open(ctx context.Context) (err error) {
	if err := w.openServers(ctx); err != nil {
		return err
	}
	if w.rolesWay, err = servers.NewProxy(""); err != nil {
		return err
	}
	w.closers = append(w.closers, w.rolesWay.Close)
	certs := filepath.Join(w.Dir, "certs")
	if err := w.run(ctx, "keys", "ca", "--out", filepath.Join(w.Dir, "ca")); err != nil {
		return err
	}
	kek := filepath.Join(w.Dir, "kek")
	if err := os.WriteFile(kek, []byte("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n"), 0o600); err != nil {
		return err
	}
	shared := []string{"--sql", w.sql.URL(w.sqlWay.Addr, database), "--kek", kek, "--blob", "file://" + filepath.Join(w.Dir, "files")}
	process := func(name string, args ...string) (*process, error) {
		if err := w.run(ctx, "keys", "role-cert", "--ca", filepath.Join(w.Dir, "ca"), "--name", name, "--out", certs); err != nil {
			return nil, err
		}
		at := filepath.Join(certs, name)
		p := &process{name: name, bin: w.Server, data: filepath.Join(w.Dir, name), args: append([]string{
			"--role-cert", at + ".pem", "--role-key", at + "-key.pem", "--role-ca", filepath.Join(certs, "ca.pem"), "--redis", w.redis.url(),
		}, args...)}
		if err := p.start(ctx); err != nil {
			return nil, err
		}
		w.closers = append(w.closers, func() { p.now().Kill() })
		return p, nil
	}
	if w.issue, err = process("issue-1", append(shared, "--target", "issue", "--role-listen", "127.0.0.1:0")...); err != nil {
		return err
	}
	w.rolesWay.SetServer(w.issue.now().Roles)
	w.issue.args = append(w.issue.args, "--role-listen", w.issue.now().Roles) // the last one counts: the same after a restart
	if w.worker, err = process("worker-1", append(shared, "--target", "worker", "--kafka", w.kafka.Addr)...); err != nil {
		return err
	}
	for _, name := range []string{"edge-1", "edge-2"} {
		edge, err := process(name, "--target", "edge", "--join", "https://"+w.rolesWay.Addr)
		if err != nil {
			return err
		}
		w.edges = append(w.edges, edge)
	}
	return nil
}

func (w *world) openServers(ctx context.Context) (err error) {
	settings := []string{"--innodb-flush-log-at-trx-commit=1", "--innodb-log-file-size=64M"}
	w.sql, err = servers.OpenMariaDB(diskMB, settings...)
	if errors.Is(err, servers.ErrNoDisk) {
		w.noDisk = err
		w.sql, err = servers.OpenMariaDB(0, settings...)
	}
	if err != nil {
		return err
	}
	w.closers = append(w.closers, w.sql.Stop)
	if w.admin, err = w.sql.Create(ctx, database); err != nil {
		return err
	}
	w.closers = append(w.closers, func() { _ = w.admin.Close() })
	if w.sqlWay, err = servers.NewProxy(w.sql.Addr()); err != nil {
		return err
	}
	w.closers = append(w.closers, w.sqlWay.Close)
	if w.kafkaWay, err = servers.NewProxy(""); err != nil {
		return err
	}
	w.closers = append(w.closers, w.kafkaWay.Close)
	dir := filepath.Join(w.Dir, "kafka")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	if w.kafka, err = servers.StartKafka(ctx, servers.KafkaOptions{Dir: dir, Brokers: 1, Proxy: w.kafkaWay}); err != nil {
		return err
	}
	w.closers = append(w.closers, w.kafka.Kill)
	w.redis, err = openRedis(w.Dir)
	w.closers = append(w.closers, w.redis.close)
	return err
}

func (w *world) run(ctx context.Context, args ...string) error {
	if out, err := exec.CommandContext(ctx, w.Server, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("chopmark %v: %w\n%s", args, err, out)
	}
	return nil
}

// found makes a brand, a product and a pool for each actor, and its items.
func (w *world) found(ctx context.Context) error {
	for i := range actors {
		a := &actor{id: i, rng: rand.New(rand.NewPCG(w.Seed, uint64(i)+1)), bulkIn: "active"}
		w.actors = append(w.actors, a)
		var made struct {
			Brand   int32    `json:"brand_id"`
			Product int32    `json:"product_id"`
			Batch   string   `json:"batch_id"`
			Change  string   `json:"change_id"`
			Codes   []string `json:"codes"`
			claim
		}
		post := func(path string, body map[string]any) error {
			return w.issue.now().Must(ctx, http.MethodPost, path, body, &made)
		}
		no := fmt.Sprint("pool-", i)
		err := post("/api/v1/brands", map[string]any{"name": no})
		if err == nil {
			err = post("/api/v1/products", map[string]any{"brand_id": made.Brand, "name": no})
		}
		if err == nil {
			err = post("/api/v1/batches", map[string]any{"product_id": made.Product, "batch_no": no, "quantity": poolSize, "rotate_every": "1h"})
		}
		if err == nil {
			err = post("/api/v1/batches/"+made.Batch+"/claims", map[string]any{"quantity": itemsEach + bulk + len(w.edges), "claimant": "items"})
		}
		if err == nil {
			err = post("/api/v1/codes/state", map[string]any{"select": map[string]any{"batch_id": made.Batch}, "to": "active", "reason": "packed"})
		}
		if err != nil {
			return err
		}
		w.ledger.fact("batch " + no)
		w.ledger.fact(made.Change)
		w.ledger.claimed(made.Batch, made.claim)
		a.brand, a.product, a.pool = made.Brand, made.Product, made.Batch
		for n, code := range made.Codes {
			if n >= itemsEach && n < itemsEach+bulk && n != itemsEach && n != itemsEach+bulk-1 {
				continue // of those that move together the first and the last are looked at
			}
			it := &item{code: code, state: "active", version: 1}
			w.ledger.items[code] = it
			if n < itemsEach {
				a.items = append(a.items, it)
			}
		}
		a.bulk = made.Codes[itemsEach : itemsEach+bulk]
		w.probes = made.Codes[itemsEach+bulk:]
	}
	return w.known(ctx)
}

// known waits until both edges know every pool, and that its items are active.
func (w *world) known(ctx context.Context) error {
	client := newClient(harness.LookAhead(http.DefaultTransport))
	for _, edge := range w.edges {
		for _, a := range w.actors {
			err := within(ctx, edge.name+" does not know the items", startTime, func() error {
				var v verification
				answer, err := edge.now().Call(ctx, client, http.MethodGet, verifyPath(a.items[0].code), "", nil)
				if err == nil {
					err = json.Unmarshal(answer.Data, &v)
				}
				if err == nil && v.Verdict != "authentic" {
					err = fmt.Errorf("%d %s %+v", answer.Status, answer.Error, v)
				}
				return err
			})
			if err != nil {
				return fmt.Errorf("%w\n%s", err, tail(edge.now().Log()))
			}
		}
	}
	return nil
}
