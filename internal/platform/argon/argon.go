// Package argon derives keys from passwords (Argon2id) without taking the time of what
// else the program does: in a process of its own that gives way to every other.
//
// A derivation holds a core and 19 MB for some twenty milliseconds. In the program itself that is a
// core that scans wait for, and a collection of garbage after each.
package argon

import (
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os/exec"
	"runtime"
	"strconv"
	"sync"

	"golang.org/x/crypto/argon2"
)

type request struct {
	ID             uint64
	Password, Salt []byte
	Time, Memory   uint32
	Threads        uint8
	Length         uint32
}

func (r *request) key() []byte {
	return argon2.IDKey(r.Password, r.Salt, r.Time, r.Memory, r.Threads, r.Length)
}

type response struct {
	ID  uint64
	Key []byte
}

// Serve derives what an Aside asks for on in, and answers on out, until in ends.
func Serve(in io.Reader, out io.Writer) error {
	asked, answers := gob.NewDecoder(in), gob.NewEncoder(out)
	var mu sync.Mutex
	var all sync.WaitGroup
	defer all.Wait()
	for {
		var r request
		switch err := asked.Decode(&r); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("read what to derive: %w", err)
		}
		all.Go(func() {
			key := r.key()
			mu.Lock()
			defer mu.Unlock()
			_ = answers.Encode(response{r.ID, key}) // who asked is gone, which the next read tells
		})
	}
}

// Aside derives in a process of its own, which is started when it is first asked, and again when it
// has died. Where none can be started it derives here.
type Aside struct {
	command []string
	cores   int
	log     *slog.Logger

	mu      sync.Mutex
	peer    *peer
	closed  bool
	refused bool // a process could not be started: not tried again
}

// NewAside runs command, which must Serve on its standard input and output, on so many cores at most.
func NewAside(command []string, cores int, log *slog.Logger) *Aside {
	return &Aside{command: command, cores: cores, log: log}
}

var errClosed = errors.New("argon: closed")

// Derive is argon2.IDKey by that process. One that dies meanwhile is replaced once.
func (a *Aside) Derive(password, salt []byte, time, memory uint32, threads uint8, length uint32) ([]byte, error) {
	r := request{Password: password, Salt: salt, Time: time, Memory: memory, Threads: threads, Length: length}
	for range 2 {
		one, err := a.running()
		if err != nil {
			return nil, err
		}
		if one == nil {
			return r.key(), nil
		}
		if key, ok := one.derive(r); ok {
			return key, nil
		}
		a.drop(one)
	}
	return nil, errors.New("argon: the process that derives keys died twice")
}

// running gives the process, or nil where there can be none.
func (a *Aside) running() (*peer, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.closed:
		return nil, errClosed
	case a.peer != nil, a.refused:
		return a.peer, nil
	}
	one, err := start(a.command, a.cores)
	if err != nil {
		a.refused = true
		a.log.Warn("passwords are hashed in this process: the one for it does not start", "error", err)
		return nil, nil //nolint:nilnil // none is an answer
	}
	a.peer = one
	return one, nil
}

func (a *Aside) drop(one *peer) {
	a.mu.Lock()
	if a.peer == one {
		a.peer = nil
	}
	a.mu.Unlock()
	one.end()
}

// Close ends the process.
func (a *Aside) Close() error {
	a.mu.Lock()
	one := a.peer
	a.peer, a.closed = nil, true
	a.mu.Unlock()
	if one != nil {
		one.end()
	}
	return nil
}

// peer is one process and what it was asked.
type peer struct {
	cmd *exec.Cmd
	in  io.WriteCloser

	mu      sync.Mutex
	ask     *gob.Encoder
	last    uint64
	waiting map[uint64]chan []byte // nil once it is dead
	gone    chan struct{}          // closed when its output has ended
}

func start(command []string, cores int) (*peer, error) {
	cmd := exec.CommandContext(context.Background(), command[0], command[1:]...) //nolint:gosec // the program itself; it ends with its input
	cmd.Env = []string{"GOMAXPROCS=" + strconv.Itoa(cores)}                      // nothing of ours: it may hold secrets
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread, which is less urgent now, ends with this
		yield()
		started <- cmd.Start()
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	p := &peer{cmd: cmd, in: in, ask: gob.NewEncoder(in), waiting: map[uint64]chan []byte{}, gone: make(chan struct{})}
	go p.read(out)
	return p, nil
}

// read hands out the answers; at their end, who still waits hears of it.
func (p *peer) read(out io.Reader) {
	defer close(p.gone)
	answers := gob.NewDecoder(out)
	for {
		var r response
		if answers.Decode(&r) != nil {
			break
		}
		p.mu.Lock()
		c := p.waiting[r.ID]
		delete(p.waiting, r.ID)
		p.mu.Unlock()
		if c != nil {
			c <- r.Key
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.waiting {
		close(c)
	}
	p.waiting = nil
}

func (p *peer) derive(r request) ([]byte, bool) {
	c := make(chan []byte, 1)
	p.mu.Lock()
	if p.waiting == nil {
		p.mu.Unlock()
		return nil, false
	}
	p.last++
	r.ID = p.last
	p.waiting[r.ID] = c
	err := p.ask.Encode(r)
	p.mu.Unlock()
	if err != nil {
		return nil, false
	}
	key, ok := <-c
	return key, ok
}

// end closes its input, which ends it, and waits for that. It may be called more than once.
func (p *peer) end() {
	_ = p.in.Close()
	<-p.gone
	_ = p.cmd.Wait()
}
