package servers

import (
	"bufio"
	"database/sql"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

const childEnv = "CHOPMARK_TEST_STARTS_MARIADB"

// TestServerEndsWithItsBinary kills a test binary that has started a server: server
// and directory must go with it.
func TestServerEndsWithItsBinary(t *testing.T) {
	if os.Getenv(childEnv) != "" {
		s, err := OpenMariaDB(0)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println("started", s.proc.dir, s.port)
		select {} // until it is killed
	}
	t.Parallel()
	needsMariaDB(t)
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestServerEndsWithItsBinary$")
	child.Env = append(os.Environ(), childEnv+"=1")
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var dir, port string
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if _, err := fmt.Sscanf(lines.Text(), "started %s %s", &dir, &port); err == nil {
			break
		}
	}
	if dir == "" || !listens(port) {
		t.Fatalf("no server: directory %q, port %q", dir, port)
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait()
	for end := time.Now().Add(startMax); ; time.Sleep(10 * time.Millisecond) {
		_, err := os.Stat(dir)
		if os.IsNotExist(err) && !listens(port) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s: %v; the port answers: %v", dir, err, listens(port))
		}
	}
}

func listens(port string) bool {
	c, err := net.DialTimeout("tcp", "127.0.0.1:"+port, time.Second)
	if err != nil {
		return false
	}
	return c.Close() == nil
}

// TestDatabasesAreApart: what one test does, another does not see.
func TestDatabasesAreApart(t *testing.T) {
	t.Parallel()
	for range 2 {
		url := strings.TrimPrefix(MariaDB(t), "mysql://")
		account, rest, _ := strings.Cut(url, "@")
		host, name, _ := strings.Cut(rest, "/")
		db, err := sql.Open("mysql", account+"@tcp("+host+")/"+name)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		if _, err := db.ExecContext(t.Context(), `CREATE TABLE same (id INT)`); err != nil {
			t.Error(err)
		}
	}
}
