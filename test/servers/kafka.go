package servers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// KafkaServer is a Kafka: kfaked, as a process of its own.
type KafkaServer struct {
	Addr string // of its first broker; what --kafka takes

	bin     string
	args    []string // of kfaked
	kcat    []string // what kcat needs to be let in
	process *process
}

// KafkaOptions say where a Kafka keeps what it is told, and how it is reached.
type KafkaOptions struct {
	Dir     string // kept over Kill and Start
	Brokers int
	// Proxy, if not nil, is what clients are told to connect to. It must be for one broker,
	// and is pointed at it.
	Proxy *Proxy
	Args  []string // of kfaked, beside its own
	Kcat  []string // what kcat needs to be let in
}

const kafkaStart = 30 * time.Second

// KafkaUser and KafkaPassword are who SecureKafka lets in.
const KafkaUser, KafkaPassword = "chopmark", "p@ss/word:1"

// SecureKafka starts a broker that speaks TLS alone. With known it wants to know who asks
// as well; kcat cannot read it then, since its library finds kfake's sign-in too new.
func SecureKafka(t testing.TB, f TLSFiles, known bool) *Broker {
	t.Helper()
	o := KafkaOptions{Brokers: 1, Args: []string{"--cert", f.Cert, "--key", f.Key}, Kcat: []string{"-X", "security.protocol=SSL", "-X", "ssl.ca.location=" + f.CA}}
	if known {
		o.Args = append(o.Args, "--user", KafkaUser+":"+KafkaPassword)
	}
	return kafkaOf(t, o)
}

// Kafka starts a cluster of so many brokers for a test.
func Kafka(t testing.TB, brokers int) *Broker {
	t.Helper()
	return kafkaOf(t, KafkaOptions{Brokers: brokers})
}

func kafkaOf(t testing.TB, o KafkaOptions) *Broker {
	t.Helper()
	needs(t, "kcat", "kcat")
	o.Dir = t.TempDir()
	b, err := StartKafka(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Kill)
	return &Broker{b, t}
}

// Broker is a Kafka of a test, which ends when it fails.
type Broker struct {
	*KafkaServer

	t testing.TB
}

// Start is KafkaServer's.
func (b *Broker) Start() {
	b.t.Helper()
	if err := b.KafkaServer.Start(); err != nil {
		b.t.Fatal(err)
	}
}

// Kcat is KafkaServer's, line by line.
func (b *Broker) Kcat(format string, topics ...string) []string {
	b.t.Helper()
	var lines []string
	for _, topic := range topics {
		err := b.KafkaServer.Kcat(b.t.Context(), format, topic, func(line string) error {
			lines = append(lines, line)
			return nil
		})
		if err != nil {
			b.t.Fatal(err)
		}
	}
	return lines
}

// StartKafka builds and starts a cluster.
func StartKafka(ctx context.Context, o KafkaOptions) (*KafkaServer, error) {
	b := &KafkaServer{bin: filepath.Join(o.Dir, "kfaked"), kcat: o.Kcat}
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", b.bin, "github.com/chopmark/chopmark/test/servers/kfaked")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build kfaked: %w\n%s", err, out)
	}
	var ports []string
	for range o.Brokers {
		port, err := freePort()
		if err != nil {
			return nil, err
		}
		ports = append(ports, port)
	}
	b.Addr, b.args = "127.0.0.1:"+ports[0], []string{"--dir", filepath.Join(o.Dir, "kept"), "--ports", strings.Join(ports, ",")}
	b.args = append(b.args, o.Args...)
	if o.Proxy != nil {
		o.Proxy.SetServer(b.Addr)
		b.Addr = o.Proxy.Addr
		b.args = append(b.args, "--advertise", b.Addr)
	}
	err := b.Start()
	return b, err
}

// Start runs the cluster on what it kept, on its ports, and returns when it answers.
func (b *KafkaServer) Start() error {
	dir, err := os.MkdirTemp("", "kfaked") // of this run; its end removes it
	if err != nil {
		return err
	}
	if b.process, err = start(dir, b.bin, b.args...); err != nil {
		return err
	}
	for deadline := time.Now().Add(kafkaStart); !strings.Contains(b.process.log(), "ready"); time.Sleep(10 * time.Millisecond) {
		select {
		case <-b.process.ended:
			return errors.New("kfaked ended at its start; a port of its was taken, or what it kept is damaged")
		default:
		}
		if time.Now().After(deadline) {
			log := b.process.log()
			b.process.stop()
			return fmt.Errorf("kfaked does not start:\n%s", log)
		}
	}
	return nil
}

// Kill ends the cluster at once, as a crash does.
func (b *KafkaServer) Kill() { b.process.stop() }

// Pause lets the cluster stand still with its connections open; Resume ends that.
func (b *KafkaServer) Pause() error { return b.process.signal(syscall.SIGSTOP) }

// Resume lets a paused cluster go on.
func (b *KafkaServer) Resume() error { return b.process.signal(syscall.SIGCONT) }

// Kcat reads a topic whole with kcat, a client that shares no code with ours: one line for
// each record, those of a partition in their order, in kcat's -f format.
func (b *KafkaServer) Kcat(ctx context.Context, format, topic string, each func(line string) error) error {
	cmd := exec.CommandContext(ctx, "kcat", append([]string{"-C", "-b", b.Addr, "-t", topic, "-o", "beginning", "-e", "-q", "-f", format + "\n"}, b.kcat...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("kcat %s: %w\n%s", topic, err, stderr.Bytes())
	}
	for line := range strings.Lines(string(out)) {
		if err := each(strings.TrimSuffix(line, "\n")); err != nil {
			return err
		}
	}
	return nil
}
