package servers

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Broker is a Kafka for one test: kfaked, as a process of its own.
type Broker struct {
	Addr string // of its first broker; what --kafka takes

	t       testing.TB
	bin     string
	data    string
	ports   string
	process *process
}

const kafkaStart = 30 * time.Second

// Kafka starts a cluster of so many brokers.
func Kafka(t testing.TB, brokers int) *Broker {
	t.Helper()
	needs(t, "kcat", "kcat")
	b := &Broker{t: t, data: t.TempDir(), bin: filepath.Join(t.TempDir(), "kfaked")}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", b.bin, "github.com/chopmark/chopmark/test/servers/kfaked")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build kfaked: %v\n%s", err, out)
	}
	var ports []string
	for range brokers {
		port, err := freePort()
		if err != nil {
			t.Fatal(err)
		}
		ports = append(ports, port)
	}
	b.Addr, b.ports = "127.0.0.1:"+ports[0], strings.Join(ports, ",")
	b.Start()
	t.Cleanup(b.Kill)
	return b
}

// Start runs the cluster on what it kept, on its ports, and returns when it answers.
func (b *Broker) Start() {
	b.t.Helper()
	dir, err := os.MkdirTemp("", "kfaked") // of this run; its end removes it
	if err != nil {
		b.t.Fatal(err)
	}
	if b.process, err = start(dir, b.bin, "--dir", b.data, "--ports", b.ports); err != nil {
		b.t.Fatal(err)
	}
	for deadline := time.Now().Add(kafkaStart); !strings.Contains(b.process.log(), "ready"); time.Sleep(10 * time.Millisecond) {
		select {
		case <-b.process.ended:
			b.t.Fatal("kfaked ended at its start; a port of its was taken, or what it kept is damaged")
		default:
		}
		if time.Now().After(deadline) {
			log := b.process.log()
			b.process.stop()
			b.t.Fatalf("kfaked does not start:\n%s", log)
		}
	}
}

// Kill ends the cluster at once, as a crash does.
func (b *Broker) Kill() { b.process.stop() }

// Kcat reads topics whole with kcat, a client that shares no code with ours: one line for
// each record, those of a partition in their order, in kcat's -f format.
func (b *Broker) Kcat(format string, topics ...string) []string {
	b.t.Helper()
	var lines []string
	for _, topic := range topics {
		cmd := exec.CommandContext(b.t.Context(), "kcat", "-C", "-b", b.Addr, "-t", topic, "-o", "beginning", "-e", "-q", "-f", format+"\n")
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			b.t.Fatalf("kcat %s: %v\n%s", topic, err, stderr.Bytes())
		}
		for line := range strings.Lines(string(out)) {
			lines = append(lines, strings.TrimSuffix(line, "\n"))
		}
	}
	return lines
}
