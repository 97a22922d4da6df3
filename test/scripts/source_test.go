package scripts

import (
	"bufio"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/chopmark/chopmark/test/harness"
)

// simulate starts chopmark simulate on free ports: $NAME is its address by HTTP, $NAME_RPC
// by gRPC.
func simulate(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 || neg {
		ts.Fatalf("usage: simulate NAME mes|wms|erp [flags]")
	}
	run := append([]string{"simulate", "--listen=127.0.0.1:0", "--grpc-listen=127.0.0.1:0"}, args[1:]...)
	cmd := exec.CommandContext(of(ts).ctx, of(ts).bin, run...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	ts.Defer(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()         // it was killed
	})
	lines := bufio.NewScanner(out)
	for range 2 {
		if !lines.Scan() {
			ts.Fatalf("chopmark simulate ended: %v", lines.Err())
		}
		_, at, _ := strings.Cut(lines.Text(), " listens on ")
		if name := args[0]; strings.HasPrefix(at, "grpc") {
			ts.Setenv(name+"_RPC", at)
		} else {
			ts.Setenv(name, at)
		}
	}
}

// upload sends a file as CSV.
func upload(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 3 || neg {
		ts.Fatalf("usage: upload STATUS PATH FILE [Header:value …]")
	}
	raw, err := os.ReadFile(ts.MkAbs(args[2]))
	ts.Check(err)
	send(ts, args[0], http.MethodPost, args[1], string(raw), append([]string{"Authorization:Bearer " + harness.AdminKey, "Content-Type:text/csv"}, args[3:]...))
}

// until asks until an answer has a match.
func until(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 || neg {
		ts.Fatalf("usage: until PATTERN PATH")
	}
	pattern, err := regexp.Compile(args[0])
	ts.Check(err)
	end := time.Now().Add(awaitFor)
	for every := time.NewTicker(20 * time.Millisecond); ; <-every.C {
		a, err := of(ts).server.Call(of(ts).ctx, http.DefaultClient, http.MethodGet, args[1], "", nil)
		ts.Check(err)
		if pattern.Match(a.Data) {
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("%s has no %s: %s", args[1], pattern, a.Data)
		}
	}
}
