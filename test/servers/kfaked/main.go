// Command kfaked is a broker for tests: franz-go's kfake as a process of its own that
// keeps what it was told in a directory, so that it can be killed and started again. It
// speaks Kafka's protocol with groups and transactions; it proves nothing about
// replication.
//
//	kfaked --dir DIR --ports 9092,9093
//
// Each port is a broker. It prints "ready" when they answer.
package main

import (
	"flag"
	"fmt"
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
	flag.Parse()
	if err := run(*dir, *list); err != nil {
		fmt.Fprintln(os.Stderr, "kfaked:", err)
		os.Exit(1)
	}
}

func run(dir, list string) error {
	var ports []int
	for p := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(p)
		if err != nil {
			return fmt.Errorf("read --ports: %w", err)
		}
		ports = append(ports, n)
	}
	cluster, err := kfake.NewCluster(kfake.Ports(ports...), kfake.DataDir(dir), kfake.SyncWrites())
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
