// Package servers starts the real servers that tests need, on loopback and in a
// directory of their own.
//
// Promise: a server and its directory are gone when the test binary is, however it
// ends. A keeper shell holds the server and waits for the end of its own input, which
// the kernel brings about also when the binary is killed.
package servers

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// keeper runs "$@" until it ends, or its own input does, and then removes $0. It starts
// it again when there is $0/again.
const keeper = `exec 3<&0
{ cat <&3 >/dev/null; touch "$0/over"; while [ -d "$0" ]; do kill -9 $(cat "$0/pid"); sleep 0.05; done; } >/dev/null 2>&1 &
while :; do
	"$@" </dev/null &
	echo $! >"$0/pid"
	wait $!
	[ -e "$0/again" ] && [ ! -e "$0/over" ] || break
	rm "$0/again"
done
umount "$0"/* 2>/dev/null # what was mounted there for it
rm -rf "$0"`

// process is a running server.
type process struct {
	dir   string
	input io.Closer     // its end is the server's
	ended chan struct{} // closed when the server is gone and its directory removed
}

// start runs a program whose files are all in dir. What it prints goes to dir/log.
func start(dir, program string, args ...string) (*process, error) {
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }() // the server has its own
	cmd := exec.Command("sh", append([]string{"-c", keeper, dir, pathOf(program)}, args...)...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // ^C on a terminal ends the binary, and it the server
	input, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	p := &process{dir: dir, input: input, ended: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // killed, as it should be
		_ = input.Close()
		close(p.ended)
	}()
	return p, nil
}

// stop ends the server and waits until its directory is gone.
func (p *process) stop() {
	_ = p.input.Close() // it may have ended on its own
	<-p.ended
}

// crash kills the server and lets it start again on what it left.
func (p *process) crash() error {
	if err := os.WriteFile(filepath.Join(p.dir, "again"), nil, 0o600); err != nil {
		return err
	}
	return p.signal(syscall.SIGKILL)
}

// signal sends the server itself a signal.
func (p *process) signal(s syscall.Signal) error {
	pid, err := p.pid()
	if err != nil {
		return err
	}
	return syscall.Kill(pid, s)
}

func (p *process) pid() (int, error) {
	raw, err := os.ReadFile(filepath.Join(p.dir, "pid"))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(raw)))
}

// log is what the server has printed, for the message of a failed start.
func (p *process) log() string {
	text, _ := os.ReadFile(filepath.Join(p.dir, "log"))
	return string(text[max(0, len(text)-2000):])
}

// freePort is a port of loopback that nobody listens on now.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	addr, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		return "", errors.Join(errors.New("no TCP address"), l.Close())
	}
	return strconv.Itoa(addr.Port), l.Close()
}

// needs ends the test when a program is missing: in CI it fails, because a test that
// could not run must not look like one that passed.
func needs(t testing.TB, packageName string, programs ...string) {
	t.Helper()
	for _, program := range programs {
		if err := Missing(packageName, program); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatal(err)
			}
			t.Skipf("skipped, because %v", err)
		}
	}
}

// Missing says what is to be installed for a program that is not there.
func Missing(packageName, program string) error {
	if _, err := exec.LookPath(pathOf(program)); err != nil {
		return fmt.Errorf("%s is missing: install the package %s (test/setup/apt.sh)", program, packageName)
	}
	return nil
}

// pathOf finds servers where Debian puts them, also for users who have no sbin in
// their path.
func pathOf(program string) string {
	for _, dir := range []string{"/usr/sbin", "/usr/local/sbin"} {
		if p := filepath.Join(dir, program); executable(p) {
			return p
		}
	}
	return program
}

func executable(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}
