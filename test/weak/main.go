// Command weak measures how long a verdict takes over weak links, from the first packet to
// the last byte of the answer, for every protocol that the server speaks.
//
// The client runs in a network namespace of its own. Between it and the server stand two TUN
// devices and this program, which carries packets from one to the other with the delay, the
// rate and the loss that were asked for; the kernel's TCP and the real QUIC do the rest.
// It needs root on Linux, and ip from iproute2.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/chopmark/chopmark/test/harness"
)

// world is one kind of link.
type world struct {
	name string
	shape
}

func worlds() []world {
	return []world{
		{"2G", shape{50_000, 250 * time.Millisecond, 0}},
		{"2G, 2 % loss", shape{50_000, 250 * time.Millisecond, 0.02}},
		{"3G", shape{750_000, 75 * time.Millisecond, 0}},
		{"clean", shape{}},
	}
}

const (
	clientAddress = "10.77.0.2/24"
	serverAddress = "10.77.0.1/24"
	serverHost    = "10.77.0.1"
	tlsPort       = "8443"
	echoPort      = "7777"
	inside        = "inside" // the argument of the process that has a namespace
	asClient      = "client"
	quietTime     = 800 * time.Millisecond // longer than anything is under way on an idle link
)

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "weak:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	runs := flag.Int("runs", 7, "visits of each kind; the table has their medians")
	only := flag.String("only", "", "links to measure, as in the table, separated by ';'")
	flag.Parse()
	switch flag.Arg(0) {
	case asClient:
		return runClient(ctx, net.JoinHostPort(serverHost, tlsPort))
	case inside:
		var w world
		if err := json.Unmarshal([]byte(flag.Arg(1)), &w.name); err != nil {
			return err
		}
		for _, known := range worlds() {
			if known.name == w.name {
				return measure(ctx, known, flag.Arg(2), *runs)
			}
		}
		return fmt.Errorf("no link %q", w.name)
	}
	if os.Geteuid() != 0 {
		return errors.New("needs root, for network namespaces and TUN devices: sudo make bench-weak")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		return errors.New("needs ip: apt-get install iproute2")
	}
	dir, err := os.MkdirTemp("", "weak")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	bin, err := harness.Locate(ctx, dir)
	if err != nil {
		return err
	}
	return all(ctx, bin, *runs, *only)
}

// all measures the links side by side, each with a server and namespaces of its own: they
// wait most of the time.
func all(ctx context.Context, bin string, runs int, only string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	list := worlds()
	out, errs := make([]string, len(list)), make([]error, len(list))
	for i, w := range list {
		if only != "" && !slices.Contains(strings.Split(only, ";"), w.name) {
			continue
		}
		wg.Go(func() {
			name, err := json.Marshal(w.name)
			if err != nil {
				errs[i] = err
				return
			}
			cmd := exec.CommandContext(ctx, self, "-runs", strconv.Itoa(runs), inside, string(name), bin)
			cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
			cmd.Stderr = os.Stderr
			text, err := cmd.Output()
			out[i], errs[i] = string(text), err
		})
	}
	wg.Wait()
	fmt.Print(tableHead)
	for _, text := range out {
		fmt.Print(text)
	}
	return errors.Join(errs...)
}

// measure runs in the server's namespace.
func measure(ctx context.Context, w world, bin string, runs int) error {
	runtime.LockOSThread() // the client ends with the thread that started it, and openTun ends threads
	b := &bench{world: w}
	if err := ip(ctx, "link", "set", "lo", "up"); err != nil {
		return err
	}
	tun, err := openTun(0, "weak0")
	if err != nil {
		return err
	}
	defer func() { _ = tun.Close() }()
	if err := deviceUp(ctx, "weak0", serverAddress); err != nil {
		return err
	}
	socket, err := (&net.ListenConfig{}).ListenPacket(ctx, "udp", net.JoinHostPort(serverHost, echoPort))
	if err != nil {
		return err
	}
	defer func() { _ = socket.Close() }()
	go echo(socket) // ends with its socket
	data, err := os.MkdirTemp("", "weak")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(data) }()
	if b.server, err = harness.Start(ctx, bin, filepath.Join(data, "data"), "--tls-listen", net.JoinHostPort(serverHost, tlsPort), "--tls-self-signed"); err != nil {
		return err
	}
	defer b.server.Kill()
	if b.codes, err = sampleCodes(ctx, b.server); err != nil {
		return err
	}
	if err := b.startClient(ctx); err != nil {
		return err
	}
	defer b.stopClient()
	far, err := openTun(b.cmd.Process.Pid, "weak1")
	if err != nil {
		return err
	}
	defer func() { _ = far.Close() }()
	go b.up.carry(newLink(w.shape, 1), far, tun)
	go b.down.carry(newLink(w.shape, 2), tun, far)
	if _, err := b.tell(ask{Do: "up", Path: "weak1"}); err != nil {
		return err
	}
	return b.visits(ctx, runs)
}

const codesMax = 1000

// sampleCodes issues codes that are good to sell.
func sampleCodes(ctx context.Context, s *harness.Server) ([]string, error) {
	var brand struct {
		ID int32 `json:"brand_id"`
	}
	var product struct {
		ID int32 `json:"product_id"`
	}
	var batch struct {
		ID string `json:"batch_id"`
	}
	var claim struct {
		Codes []string `json:"codes"`
	}
	post := func(path string, body map[string]any, into any) error {
		return s.Must(ctx, http.MethodPost, path, body, into)
	}
	if err := post("/api/v1/brands", map[string]any{"name": "西湖茶业 West Lake Tea"}, &brand); err != nil {
		return nil, err
	}
	if err := post("/api/v1/products", map[string]any{"brand_id": brand.ID, "name": "明前龙井 250 g · Longjing green tea"}, &product); err != nil {
		return nil, err
	}
	if err := post("/api/v1/batches", map[string]any{"product_id": product.ID, "batch_no": "LJ-2026-04", "quantity": codesMax,
		"rotate_every": "1h", "production_date": "2026-04-02"}, &batch); err != nil {
		return nil, err
	}
	if err := post("/api/v1/codes/state", map[string]any{"select": map[string]any{"batch_id": batch.ID}, "to": "active", "reason": "packed"}, nil); err != nil {
		return nil, err
	}
	err := post("/api/v1/batches/"+batch.ID+"/claims", map[string]any{"quantity": codesMax, "claimant": "weak"}, &claim)
	return claim.Codes, err
}

// bench measures one link.
type bench struct {
	world
	bridge
	server *harness.Server
	codes  []string // not scanned yet
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Scanner
}

func (b *bench) startClient(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	b.cmd = exec.CommandContext(ctx, self, asClient)
	b.cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	b.cmd.Stderr = os.Stderr
	if b.in, err = b.cmd.StdinPipe(); err != nil {
		return err
	}
	out, err := b.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	b.out = bufio.NewScanner(out)
	return b.cmd.Start()
}

func (b *bench) stopClient() {
	_ = b.in.Close() // it ends with its input
	_ = b.cmd.Wait() // what it had to say it has said
}

// visit is what one cost.
type visit struct {
	told
	up, down           int64 // bytes within TCP and UDP
	upPackets, packets int64
}

// tell has the client do something, and waits until it has settled.
func (b *bench) tell(a ask) (visit, error) {
	before := b.count()
	line, err := json.Marshal(a) //nolint:musttag // between two of our own processes
	if err != nil {
		return visit{}, err
	}
	if _, err := fmt.Fprintf(b.in, "%s\n", line); err != nil {
		return visit{}, err
	}
	v := visit{}
	if err := b.listen(&v.told); err != nil {
		return visit{}, err
	}
	after := b.count()
	v.up, v.down, v.upPackets, v.packets = after.up-before.up, after.down-before.down, after.upPackets-before.upPackets, after.packets-before.packets
	var settled told
	if err := b.listen(&settled); err != nil {
		return visit{}, err
	}
	if v.Error != "" {
		return visit{}, fmt.Errorf("%s, %s: %s", b.name, a.Do, v.Error)
	}
	b.quiet(quietTime)
	return v, nil
}

func (b *bench) count() visit {
	return visit{up: b.up.payload.Load(), down: b.down.payload.Load(), upPackets: b.up.packets.Load(), packets: b.down.packets.Load()}
}

func (b *bench) listen(t *told) error {
	if !b.out.Scan() {
		return errors.Join(errors.New("the client has ended"), b.out.Err())
	}
	return json.Unmarshal(b.out.Bytes(), t) //nolint:musttag // between two of our own processes
}
