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
	args    []string // of kfaked, beside its own
	kcat    []string // what kcat needs to be let in
	process *process
}

const kafkaStart = 30 * time.Second

// KafkaUser and KafkaPassword are who SecureKafka lets in.
const KafkaUser, KafkaPassword = "chopmark", "p@ss/word:1"

// SecureKafka starts a broker that speaks TLS alone. With known it wants to know who asks
// as well; kcat cannot read it then, since its library finds kfake's sign-in too new.
func SecureKafka(t testing.TB, f TLSFiles, known bool) *Broker {
	t.Helper()
	args := []string{"--cert", f.Cert, "--key", f.Key}
	if known {
		args = append(args, "--user", KafkaUser+":"+KafkaPassword)
	}
	return kafkaOf(t, 1, args, []string{"-X", "security.protocol=SSL", "-X", "ssl.ca.location=" + f.CA})
}

// Kafka starts a cluster of so many brokers.
func Kafka(t testing.TB, brokers int) *Broker {
	t.Helper()
	return kafkaOf(t, brokers, nil, nil)
}

func kafkaOf(t testing.TB, brokers int, args, kcat []string) *Broker {
	t.Helper()
	needs(t, "kcat", "kcat")
	b := &Broker{t: t, args: args, kcat: kcat, data: t.TempDir(), bin: filepath.Join(t.TempDir(), "kfaked")}
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
	if b.process, err = start(dir, b.bin, append([]string{"--dir", b.data, "--ports", b.ports}, b.args...)...); err != nil {
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
		cmd := exec.CommandContext(b.t.Context(), "kcat", append([]string{"-C", "-b", b.Addr, "-t", topic, "-o", "beginning", "-e", "-q", "-f", format + "\n"}, b.kcat...)...)
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
