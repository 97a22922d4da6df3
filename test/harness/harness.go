// Package harness builds the real binary and runs it as a process of its own, for
// the scripts, hammer, the crash test and the benchmarks.
package harness

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// AdminKey is the admin key of every server that is started here.
const AdminKey = "harness-admin-key-0123456789abcdef"

// Build compiles a command of this module into dir.
func Build(ctx context.Context, dir, pkg string) (string, error) {
	out := filepath.Join(dir, filepath.Base(pkg))
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", out, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", pkg, err, text)
	}
	return out, nil
}

// module is where this repository's commands are built.
const module = "github.com/chopmark/chopmark"

// Locate gives the path of the server's binary. Inside this module it is built into
// dir, so that it is what the source says; elsewhere it is beside this program or in
// PATH.
func Locate(ctx context.Context, dir string) (string, error) {
	if name, err := exec.CommandContext(ctx, "go", "list", "-m").Output(); err == nil && strings.TrimSpace(string(name)) == module {
		return Build(ctx, dir, module+"/cmd/chopmark")
	}
	if self, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(self), "chopmark")
		if st, err := os.Stat(beside); err == nil && st.Mode().IsRegular() {
			return beside, nil
		}
	}
	found, err := exec.LookPath("chopmark")
	if err != nil {
		return "", fmt.Errorf("no chopmark to run: not inside its module, not beside this program, not in PATH: %w", err)
	}
	return filepath.Abs(found)
}

// Server is a running chopmark.
type Server struct {
	URL     string
	TLS     string // host:port of HTTPS and HTTP/3; "" = none
	GRPC    string
	Roles   string // for processes of other roles; "" = none
	cmd     *exec.Cmd
	log     lockedBuffer
	started chan struct{}
	done    chan struct{}
	err     error // of Wait; read after done
}

// Start runs the server on free ports and returns when it is ready.
func Start(ctx context.Context, bin, data string, args ...string) (*Server, error) {
	s, err := Launch(ctx, bin, data, args...)
	if err != nil {
		return nil, err
	}
	select {
	case <-s.started:
		return s, nil
	case <-s.done:
		return nil, fmt.Errorf("the server ended at its start: %w\n%s", s.err, s.log.String())
	}
}

// Launch runs the server and does not wait for it.
func Launch(ctx context.Context, bin, data string, args ...string) (*Server, error) {
	s := &Server{started: make(chan struct{}), done: make(chan struct{})}
	s.cmd = exec.CommandContext(ctx, bin, append([]string{
		"serve", "--data", data, "--listen", "127.0.0.1:0", "--grpc-listen", "127.0.0.1:0", "--public-url", "http://localhost:8080",
	}, args...)...)
	s.cmd.Env = append(os.Environ(), "CHOPMARK_ADMIN_KEY="+AdminKey)
	s.cmd.Stderr = &s.log
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go s.read(out) // ends with the process
	return s, nil
}

// read takes the addresses from the greeting, then waits for the end.
func (s *Server) read(out io.Reader) {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		switch name, value, _ := strings.Cut(strings.TrimSpace(lines.Text()), " "); name {
		case "HTTP":
			s.URL = strings.TrimSpace(value)
		case "HTTPS":
			s.TLS = strings.TrimPrefix(strings.TrimSpace(value), "https://")
		case "gRPC":
			s.GRPC = strings.TrimSpace(value)
		case "roles":
			s.Roles = strings.TrimSpace(value)
		case "codes":
			close(s.started) // the last line that every start prints
		}
	}
	s.err = s.cmd.Wait()
	close(s.done)
}

// Kill ends the process as a power cut would, and waits until it is gone.
func (s *Server) Kill() {
	_ = s.cmd.Process.Kill() // it may have ended already
	<-s.done
}

// Ended is closed when the process is gone.
func (s *Server) Ended() <-chan struct{} { return s.done }

// Stop ends the process in order.
func (s *Server) Stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	<-s.done
	if s.err != nil {
		return fmt.Errorf("%w\n%s", s.err, s.log.String())
	}
	return nil
}

// Log is what the process wrote to standard error.
func (s *Server) Log() string { return s.log.String() }

// Pid is the process's id.
func (s *Server) Pid() int { return s.cmd.Process.Pid }

// CPU is the processor time that the process has used.
func (s *Server) CPU() (time.Duration, error) { return CPU(s.Pid()) }

// clockTick is the unit of /proc/PID/stat: 100 a second on every Linux of today.
const clockTick = 10 * time.Millisecond

// CPU is the processor time, user and system, that a process has used.
func CPU(pid int) (time.Duration, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * clockTick, errors.Join(err1, err2)
}

// ResidentMB is the resident memory of a process now.
func ResidentMB(pid int) (float64, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(raw)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kb / 1024, err
		}
	}
	return 0, errors.New("no VmRSS")
}

// OpenFiles is how many file descriptors a process has open, sockets among them.
func OpenFiles(pid int) (int, error) {
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	return len(entries), err
}

// Metric is the value of a metric without labels.
func (s *Server) Metric(ctx context.Context, name string) (float64, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/metrics", http.NoBody)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			return strconv.ParseFloat(value, 64)
		}
	}
	return 0, errors.Join(lines.Err(), fmt.Errorf("/metrics answered %d without %s", resp.StatusCode, name))
}

// Answer is what a call came to.
type Answer struct {
	Status   int
	Error    string
	Data     json.RawMessage
	Replayed bool
}

// Call sends a JSON request with the admin key. An error means that the outcome is
// unknown: no answer came.
func (s *Server) Call(ctx context.Context, client *http.Client, method, path, idemKey string, body any) (Answer, error) {
	var in io.Reader = http.NoBody
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return Answer{}, err
		}
		in = bytes.NewReader(raw)
	}
	r, err := http.NewRequestWithContext(ctx, method, s.URL+path, in)
	if err != nil {
		return Answer{}, err
	}
	r.Header.Set("Authorization", "Bearer "+AdminKey)
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if idemKey != "" {
		r.Header.Set("Idempotency-Key", idemKey)
	}
	resp, err := client.Do(r)
	if err != nil {
		return Answer{}, err
	}
	defer resp.Body.Close()
	var envelope struct {
		Error string          `json:"error"`
		Data  json.RawMessage `json:"data"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&envelope); err != nil {
		return Answer{}, fmt.Errorf("%s %s: %w", method, path, err)
	}
	return Answer{resp.StatusCode, envelope.Error, envelope.Data, resp.Header.Get("Idempotent-Replayed") == "true"}, nil
}

// Must is Call for what has to answer 200; the data is decoded into data.
func (s *Server) Must(ctx context.Context, method, path string, body, data any) error {
	a, err := s.Call(ctx, http.DefaultClient, method, path, "", body)
	if err != nil {
		return err
	}
	if a.Status != http.StatusOK {
		return fmt.Errorf("%s %s answered %d %s", method, path, a.Status, a.Error)
	}
	if data == nil {
		return nil
	}
	return json.Unmarshal(a.Data, data)
}

// lockedBuffer gathers a process's output.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer // guarded by mu
}

// Write implements io.Writer.
func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
