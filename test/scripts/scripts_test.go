// Package scripts runs the real binary by scripts: what a user types, and what
// must come of it. The same scripts run in two worlds: embedded, and on servers; the
// condition [embedded] tells them apart where a story is about files. Each file of testdata is one story; besides the usual commands
// of testscript (exec, stdout, stderr, cp, …) there are:
//
//	serve [flags]              start the server on free ports; $URL is where
//	stop                       end it in order (it must drain and exit 0)
//	kill9                      end it as a power cut would
//	hup                        tell it to read its configuration again
//	logs PATTERN               wait until its log has a match
//	http STATUS METHOD PATH [JSON] [Header:value …]
//	                           send a request with the admin key; the answer's body is
//	                           what stdout looks at, its headers what stderr looks at
//	public STATUS METHOD PATH [Header:value …]
//	                           the same without a key
//	await STATE PATH           ask again until the answer's data.state is STATE
//	eventually STATUS PATH     ask again, with the admin key, until the answer is that
//	fetch FILE URL             download what a task made
//	keep NAME path.to.0.field  keep a field of the last answer in $NAME
//	exits CODE COMMAND …       run a command that must exit with this code
//	simulate NAME mes|wms|erp [flags]
//	                           start a small system on free ports, $NAME by HTTP, $NAME_RPC by gRPC
//	upload STATUS PATH FILE [Header:value …]
//	                           send a file as CSV with the admin key
//	until PATTERN PATH         ask again, with the admin key, until the answer matches
//	damage FILE OFFSET         flip the bytes of a file from the offset on
package scripts

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/chopmark/chopmark/test/harness"
	"github.com/chopmark/chopmark/test/servers"
)

func TestScripts(t *testing.T) {
	bin := t.TempDir()
	if _, err := harness.Build(t.Context(), bin, "github.com/chopmark/chopmark/cmd/chopmark"); err != nil {
		t.Fatal(err)
	}
	t.Run("embedded", func(t *testing.T) { runScripts(t, bin, true, func() []string { return nil }) })
	t.Run("servers", func(t *testing.T) {
		kafka, files, kek := servers.Kafka(t, 1), servers.S3(t), filepath.Join(t.TempDir(), "kek")
		if err := os.WriteFile(kek, []byte(strings.Repeat("0f", 32)), 0o600); err != nil {
			t.Fatal(err)
		}
		runScripts(t, bin, false, func() []string {
			return []string{
				// The first brand is 1001, of shard 9: its records are in the second database.
				"CHOPMARK_SQL=" + servers.MariaDB(t), "CHOPMARK_SQL_SHARD=9=" + servers.MariaDB(t), "CHOPMARK_REDIS=" + servers.Redis(t).URL(),
				"CHOPMARK_KAFKA=" + kafka.Addr, "CHOPMARK_BLOB=" + files, "CHOPMARK_KEK=" + kek,
			}
		})
	})
}

func runScripts(t *testing.T, bin string, embedded bool, world func() []string) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			e.Setenv("PATH", bin+string(filepath.ListSeparator)+e.Getenv("PATH"))
			e.Setenv("KEY", harness.AdminKey)
			env := world()
			for _, one := range env {
				name, value, _ := strings.Cut(one, "=")
				e.Setenv(name, value)
			}
			e.Values["script"] = &script{ctx: t.Context(), bin: filepath.Join(bin, "chopmark"), env: env}
			return nil
		},
		Condition: func(cond string) (bool, error) {
			if cond != "embedded" {
				return false, fmt.Errorf("unknown condition %q", cond)
			}
			return embedded, nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"serve": serve, "stop": stop, "kill9": kill9, "http": withKey, "public": withoutKey, "keep": keep,
			"await": await, "eventually": eventually, "fetch": fetch,
			"exits": exits, "damage": damage, "hup": hup, "logs": logs, "simulate": simulate, "upload": upload, "until": until,
		},
	})
}

// script is one script's server and last answer.
type script struct {
	ctx    context.Context //nolint:containedctx // the test's; testscript hands none on
	bin    string
	env    []string // what commands find in their environment
	server *harness.Server
	answer any
}

func of(ts *testscript.TestScript) *script {
	s, ok := ts.Value("script").(*script)
	if !ok {
		ts.Fatalf("no script")
	}
	return s
}

func serve(ts *testscript.TestScript, neg bool, args []string) {
	s := of(ts)
	server, err := harness.Start(of(ts).ctx, s.bin, ts.MkAbs("data"), append(flags(s.env), args...)...)
	if err != nil || neg {
		ts.Fatalf("serve: %v", err)
	}
	s.server = server
	ts.Setenv("URL", server.URL)
	ts.Defer(server.Kill)
}

// flags gives the environment as a server's flags.
func flags(env []string) (args []string) {
	for _, one := range env {
		name, value, _ := strings.Cut(strings.TrimPrefix(one, "CHOPMARK_"), "=")
		args = append(args, "--"+strings.ToLower(strings.ReplaceAll(name, "_", "-"))+"="+value)
	}
	return args
}

func stop(ts *testscript.TestScript, _ bool, _ []string) { ts.Check(of(ts).server.Stop()) }

func kill9(ts *testscript.TestScript, _ bool, _ []string) { of(ts).server.Kill() }

func hup(ts *testscript.TestScript, _ bool, _ []string) {
	ts.Check(syscall.Kill(of(ts).server.Pid(), syscall.SIGHUP))
}

func logs(ts *testscript.TestScript, _ bool, args []string) {
	pattern, err := regexp.Compile(args[0])
	ts.Check(err)
	end := time.Now().Add(awaitFor)
	for every := time.NewTicker(20 * time.Millisecond); !pattern.MatchString(of(ts).server.Log()); <-every.C {
		if time.Now().After(end) {
			ts.Fatalf("the log has no %s:\n%s", pattern, of(ts).server.Log())
		}
	}
}

func withKey(ts *testscript.TestScript, neg bool, args []string) {
	request(ts, neg, args, "Authorization:Bearer "+harness.AdminKey)
}

func withoutKey(ts *testscript.TestScript, neg bool, args []string) { request(ts, neg, args, "") }

func request(ts *testscript.TestScript, neg bool, args []string, header string) {
	if len(args) < 3 || neg {
		ts.Fatalf("usage: http STATUS METHOD PATH [JSON] [Header:value …]")
	}
	var body string
	headers := []string{header}
	for _, a := range args[3:] {
		if strings.HasPrefix(a, "{") || strings.HasPrefix(a, "[") {
			body = a
		} else {
			headers = append(headers, a)
		}
	}
	if body != "" {
		headers = append([]string{"Content-Type:application/json"}, headers...)
	}
	send(ts, args[0], args[1], args[2], body, headers)
}

// send asks, and keeps the answer.
func send(ts *testscript.TestScript, status, method, path, body string, headers []string) {
	address := path
	if !strings.HasPrefix(path, "http") {
		address = of(ts).server.URL + path
	}
	r, err := http.NewRequestWithContext(of(ts).ctx, method, address, strings.NewReader(body))
	ts.Check(err)
	for _, h := range headers {
		if name, value, ok := strings.Cut(h, ":"); ok {
			r.Header.Set(name, value)
		}
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(r)
	ts.Check(err)
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	ts.Check(err)
	var head bytes.Buffer
	ts.Check(resp.Header.Write(&head))
	_, _ = ts.Stdout().Write(raw)          // gathered in memory
	_, _ = ts.Stderr().Write(head.Bytes()) // likewise
	s := of(ts)
	s.answer = nil
	_ = json.Unmarshal(raw, &s.answer) // a page is no JSON: then nothing can be kept of it
	if strconv.Itoa(resp.StatusCode) != status {
		ts.Fatalf("%s %s answered %d, want %s: %s", method, path, resp.StatusCode, status, raw)
	}
}

// awaitFor bounds how long a task may take: it is short, but where processes share
// tasks the lease of one that was killed ends first, after 30 seconds.
const awaitFor = 90 * time.Second

func await(ts *testscript.TestScript, _ bool, args []string) {
	end := time.Now().Add(awaitFor)
	for every := time.NewTicker(50 * time.Millisecond); ; <-every.C {
		var task struct {
			State string `json:"state"`
		}
		ts.Check(of(ts).server.Must(of(ts).ctx, http.MethodGet, args[1], nil, &task))
		if task.State == args[0] {
			request(ts, false, []string{"200", http.MethodGet, args[1]}, "Authorization:Bearer "+harness.AdminKey)
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("%s is still %s:\n%s", args[1], task.State, of(ts).server.Log())
		}
	}
}

func eventually(ts *testscript.TestScript, _ bool, args []string) {
	end := time.Now().Add(awaitFor)
	for every := time.NewTicker(50 * time.Millisecond); ; <-every.C {
		a, err := of(ts).server.Call(of(ts).ctx, http.DefaultClient, http.MethodGet, args[1], "", nil)
		ts.Check(err)
		if strconv.Itoa(a.Status) == args[0] || time.Now().After(end) {
			withKey(ts, false, []string{args[0], http.MethodGet, args[1]})
			return
		}
	}
}

func fetch(ts *testscript.TestScript, _ bool, args []string) {
	u, err := url.Parse(args[1])
	ts.Check(err)
	r, err := http.NewRequestWithContext(of(ts).ctx, http.MethodGet, of(ts).server.URL+u.RequestURI(), http.NoBody)
	ts.Check(err)
	resp, err := http.DefaultClient.Do(r)
	ts.Check(err)
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	ts.Check(err)
	if resp.StatusCode != http.StatusOK {
		ts.Fatalf("download answered %d: %s", resp.StatusCode, raw)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), raw, 0o600))
}

func keep(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: keep NAME path.to.field")
	}
	v := of(ts).answer
	for step := range strings.SplitSeq(args[1], ".") {
		switch at := v.(type) {
		case map[string]any:
			v = at[step]
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i >= len(at) {
				ts.Fatalf("no %s in the answer", args[1])
			}
			v = at[i]
		default:
			ts.Fatalf("no %s in the answer", args[1])
		}
	}
	switch v := v.(type) {
	case float64:
		ts.Setenv(args[0], strconv.FormatFloat(v, 'f', -1, 64))
	case nil:
		ts.Fatalf("no %s in the answer", args[1])
	default:
		ts.Setenv(args[0], fmt.Sprint(v))
	}
}

func exits(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND …")
	}
	name := args[1]
	if name == "chopmark" {
		name = of(ts).bin
	}
	cmd := exec.CommandContext(of(ts).ctx, name, args[2:]...)
	cmd.Dir = ts.MkAbs(".")
	cmd.Stdout, cmd.Stderr = ts.Stdout(), ts.Stderr()
	cmd.Env = append(os.Environ(), "CHOPMARK_ADMIN_KEY="+harness.AdminKey, "PATH="+ts.Getenv("PATH"))
	cmd.Env = append(cmd.Env, of(ts).env...)
	_ = cmd.Run() // the exit code says it all
	if got := strconv.Itoa(cmd.ProcessState.ExitCode()); got != args[0] {
		ts.Fatalf("%s exited with %s, want %s", strings.Join(args[1:], " "), got, args[0])
	}
}

func damage(ts *testscript.TestScript, _ bool, args []string) {
	file := ts.MkAbs(args[0])
	offset, err := strconv.Atoi(args[1])
	ts.Check(err)
	raw, err := os.ReadFile(file)
	ts.Check(err)
	if offset >= len(raw) {
		ts.Fatalf("%s has only %d bytes", args[0], len(raw))
	}
	for i := offset; i < min(len(raw), offset+4096); i++ {
		raw[i] ^= 0xff
	}
	ts.Check(os.WriteFile(file, raw, 0o600))
}
