package servers

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql" // the driver
)

// MariaDBPassword is the test user's, for tests that look whether it leaks.
const MariaDBPassword = "not-to-be-seen"

const (
	mariadbUser = "chopmark"
	startMax    = 60 * time.Second // the machine may be busy
	startTries  = 3                // somebody may have taken the free port
)

// shared is the one server of this test binary.
var shared struct {
	once   sync.Once
	server *MariaDBServer
	err    error
}

// MariaDB gives the URL of a fresh database on a server that the whole test binary
// shares.
func MariaDB(t testing.TB) string {
	t.Helper()
	needsMariaDB(t)
	shared.once.Do(func() { shared.server, shared.err = startMariaDB() })
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.server.Database(t)
}

// MariaDBServer is a server that a test has for itself.
type MariaDBServer struct {
	proc *process
	port string
}

// StartMariaDB starts a server with settings of its own, which ends with the test.
func StartMariaDB(t testing.TB, settings ...string) *MariaDBServer {
	t.Helper()
	needsMariaDB(t)
	s, err := startMariaDB(settings...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.proc.stop)
	return s
}

func needsMariaDB(t testing.TB) {
	t.Helper()
	needs(t, "mariadb-server", "mariadb-install-db", "mariadbd")
}

// Database makes a database for one test and gives its URL.
func (s *MariaDBServer) Database(t testing.TB) string {
	t.Helper()
	var b [6]byte
	rand.Read(b[:])
	name := "t_" + hex.EncodeToString(b[:])
	admin, err := sql.Open("mysql", s.dsn())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := admin.ExecContext(t.Context(), "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, err := admin.ExecContext(context.WithoutCancel(t.Context()), "DROP DATABASE "+name)
		if err := errors.Join(err, admin.Close()); err != nil {
			t.Error(err)
		}
	})
	return "mysql://" + mariadbUser + ":" + MariaDBPassword + "@127.0.0.1:" + s.port + "/" + name
}

// Crash kills the server with -9 and waits until it answers again, at the same place.
func (s *MariaDBServer) Crash(t testing.TB) {
	t.Helper()
	if err := errors.Join(s.proc.crash(), s.answers()); err != nil {
		t.Fatal(err, s.proc.log())
	}
}

func (s *MariaDBServer) dsn() string {
	return mariadbUser + ":" + MariaDBPassword + "@tcp(127.0.0.1:" + s.port + ")/"
}

func startMariaDB(settings ...string) (*MariaDBServer, error) {
	var errs []error
	for range startTries {
		s, err := tryMariaDB(settings)
		if err == nil {
			return s, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

func tryMariaDB(settings []string) (*MariaDBServer, error) {
	dir, err := os.MkdirTemp("", "chopmark-mariadb-")
	if err != nil {
		return nil, err
	}
	data := filepath.Join(dir, "data")
	who := []string{"--no-defaults", "--datadir=" + data}
	if os.Geteuid() == 0 {
		who = append(who, "--user=root")
	}
	install := exec.Command("mariadb-install-db", append(who, "--auth-root-authentication-method=normal", "--skip-test-db")...)
	if out, err := install.CombinedOutput(); err != nil {
		return nil, errors.Join(fmt.Errorf("mariadb-install-db: %w: %s", err, out), os.RemoveAll(dir))
	}
	accounts := "CREATE USER IF NOT EXISTS '" + mariadbUser + "'@'%' IDENTIFIED BY '" + MariaDBPassword + "';\n" +
		"GRANT ALL ON *.* TO '" + mariadbUser + "'@'%';\n"
	init := filepath.Join(dir, "init.sql")
	if err := os.WriteFile(init, []byte(accounts), 0o600); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	port, err := freePort()
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	args := append(append(who, "--bind-address=127.0.0.1", "--port="+port, "--socket="+filepath.Join(dir, "s.sock"),
		"--init-file="+init, "--skip-name-resolve", "--max-connections=2000", "--innodb-buffer-pool-size=64M"), settings...)
	s := &MariaDBServer{port: port}
	if s.proc, err = start(dir, "mariadbd", args...); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if err := s.answers(); err != nil {
		err = fmt.Errorf("mariadbd does not start: %w\n%s", err, s.proc.log())
		s.proc.stop()
		return nil, err
	}
	return s, nil
}

// answers waits until the server does.
func (s *MariaDBServer) answers() error {
	db, err := sql.Open("mysql", s.dsn())
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), startMax)
	defer cancel()
	for {
		err := db.PingContext(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-s.proc.ended:
			return errors.New("it has ended")
		case <-ctx.Done():
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// StartPrimary starts a server that replicas can follow, which ends with the test.
func StartPrimary(t testing.TB) *MariaDBServer {
	t.Helper()
	return StartMariaDB(t, "--server-id=1", "--log-bin=binlog", "--binlog-format=ROW", "--sync-binlog=1")
}

// Replica starts a read-only server that follows this one by GTID from the beginning.
func (s *MariaDBServer) Replica(t testing.TB) *MariaDBServer {
	t.Helper()
	r := StartMariaDB(t, "--server-id=2", "--read-only=1", "--relay-log=relay")
	r.Exec(t, "CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = "+s.port+", MASTER_USER = '"+mariadbUser+
		"', MASTER_PASSWORD = '"+MariaDBPassword+"', MASTER_USE_GTID = slave_pos, MASTER_CONNECT_RETRY = 1")
	r.Exec(t, "START SLAVE")
	return r
}

// Exec runs an administrator's statement.
func (s *MariaDBServer) Exec(t testing.TB, statement string) {
	t.Helper()
	admin, err := sql.Open("mysql", s.dsn())
	if err == nil {
		_, err = admin.ExecContext(t.Context(), statement)
		err = errors.Join(err, admin.Close())
	}
	if err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// Same is the URL of the database of that name on this server.
func (s *MariaDBServer) Same(url string) string {
	return "mysql://" + mariadbUser + ":" + MariaDBPassword + "@127.0.0.1:" + s.port + url[strings.LastIndexByte(url, '/'):]
}

// Kill ends the server with -9, for good.
func (s *MariaDBServer) Kill() { s.proc.stop() }
