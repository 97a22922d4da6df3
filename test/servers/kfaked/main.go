// Command kfaked is a broker for tests: franz-go's kfake as a process of its own that
// keeps what it was told in a directory, so that it can be killed and started again. It
// speaks Kafka's protocol with groups and transactions; it proves nothing about
// replication.
//
//	kfaked --dir DIR --ports 9092,9093 [--cert FILE --key FILE] [--user NAME:PASSWORD]
//
// With a certificate it speaks TLS, with a user it wants to know who asks, by any of the
// three ways. Each port is a broker. With --advertise clients are told to come to that
// address, of a proxy before the one broker. It prints "ready" when they answer.
package main

import (
	"crypto/tls"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"github.com/twmb/franz-go/pkg/kfake"
)

func main() {
	dir := flag.String("dir", "", "where to keep what is written")
	list := flag.String("ports", "", "ports on 127.0.0.1, one for each broker")
	advertise := flag.String("advertise", "", "the address that clients are told")
	cert, key := flag.String("cert", "", "certificate, PEM"), flag.String("key", "", "its key, PEM")
	user := flag.String("user", "", "who may ask: NAME:PASSWORD")
	flag.Parse()
	if err := run(*dir, *list, *advertise, *cert, *key, *user); err != nil {
		fmt.Fprintln(os.Stderr, "kfaked:", err)
		os.Exit(1)
	}
}

func run(dir, list, advertise, cert, key, user string) error {
	var ports []int
	for p := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(p)
		if err != nil {
			return fmt.Errorf("read --ports: %w", err)
		}
		ports = append(ports, n)
	}
	options := []kfake.Opt{kfake.Ports(ports...), kfake.DataDir(dir), kfake.SyncWrites()}
	if advertise != "" {
		told, err := net.ResolveTCPAddr("tcp", advertise)
		if err != nil {
			return fmt.Errorf("read --advertise: %w", err)
		}
		options = append(options, kfake.ListenFn(func(network, address string) (net.Listener, error) {
			l, err := net.Listen(network, address)
			return behind{l, told}, err
		}))
	}
	if cert != "" {
		own, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return err
		}
		options = append(options, kfake.TLS(&tls.Config{Certificates: []tls.Certificate{own}, MinVersion: tls.VersionTLS12}))
	}
	if name, password, ok := strings.Cut(user, ":"); ok {
		options = append(options, kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-512", name, password),
			kfake.Superuser("SCRAM-SHA-256", name, password), kfake.Superuser("PLAIN", name, password))
	}
	cluster, err := kfake.NewCluster(options...)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	<-stop
	cluster.Close()
	return nil
}

// behind is a listener that clients reach by another address.
type behind struct {
	net.Listener

	told net.Addr
}

// Addr implements net.Listener.
func (b behind) Addr() net.Addr { return b.told }
