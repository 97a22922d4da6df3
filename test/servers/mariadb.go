package servers

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
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
	shared.once.Do(func() { shared.server, shared.err = OpenMariaDB(0) })
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
	s, err := OpenMariaDB(0, settings...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

// Stop ends the server and removes what it kept.
func (s *MariaDBServer) Stop() { s.proc.stop() }

// Data is where the server keeps its files.
func (s *MariaDBServer) Data() string { return filepath.Join(s.proc.dir, mariadbData) }

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
	admin, err := s.Create(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, err := admin.ExecContext(context.WithoutCancel(t.Context()), "DROP DATABASE "+name)
		if err := errors.Join(err, admin.Close()); err != nil {
			t.Error(err)
		}
	})
	return s.URL(s.Addr(), name)
}

// Create makes a database and gives a connection to it.
func (s *MariaDBServer) Create(ctx context.Context, name string) (*sql.DB, error) {
	admin, err := sql.Open("mysql", s.dsn()+name)
	if err != nil {
		return nil, err
	}
	first, err := sql.Open("mysql", s.dsn())
	if err == nil {
		_, err = first.ExecContext(ctx, "CREATE DATABASE "+name)
		err = errors.Join(err, first.Close())
	}
	if err != nil {
		return nil, errors.Join(err, admin.Close())
	}
	return admin, nil
}

// Addr is where the server listens.
func (s *MariaDBServer) Addr() string { return "127.0.0.1:" + s.port }

// URL is a database's, as Chopmark takes it, by way of an address.
func (*MariaDBServer) URL(addr, name string) string {
	return "mysql://" + mariadbUser + ":" + MariaDBPassword + "@" + addr + "/" + name
}

// Crash kills the server with -9 and waits until it answers again, at the same place.
func (s *MariaDBServer) Crash(t testing.TB) {
	t.Helper()
	if err := s.CrashNow(); err != nil {
		t.Fatal(err)
	}
}

// CrashNow is Crash without a test.
func (s *MariaDBServer) CrashNow() error {
	if err := errors.Join(s.proc.crash(), s.answers()); err != nil {
		return fmt.Errorf("%w\n%s", err, s.proc.log())
	}
	return nil
}

func (s *MariaDBServer) dsn() string {
	return mariadbUser + ":" + MariaDBPassword + "@tcp(127.0.0.1:" + s.port + ")/"
}

// ErrNoDisk says that this user cannot give a server a disk of its own.
var ErrNoDisk = errors.New("no disk of its own for MariaDB")

// OpenMariaDB starts a server whose files are on a disk of so many megabytes of its own, a
// tmpfs that only root can make; 0 = on the usual one.
func OpenMariaDB(diskMB int, settings ...string) (*MariaDBServer, error) {
	var errs []error
	for range startTries {
		s, err := tryMariaDB(diskMB, settings)
		if err == nil {
			return s, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

const mariadbData = "data"

func tryMariaDB(diskMB int, settings []string) (*MariaDBServer, error) {
	dir, err := os.MkdirTemp("", "chopmark-mariadb-")
	if err != nil {
		return nil, err
	}
	data := filepath.Join(dir, mariadbData)
	if diskMB > 0 {
		err := os.Mkdir(data, 0o700)
		if err == nil {
			var out []byte
			out, err = exec.Command("mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%dm,mode=0700", diskMB), "tmpfs", data).CombinedOutput()
			err = errIfText(err, out)
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%w: %w", ErrNoDisk, err), os.RemoveAll(dir))
		}
	}
	undo := func(err error) error {
		if diskMB > 0 {
			err = errors.Join(err, exec.Command("umount", data).Run())
		}
		return errors.Join(err, os.RemoveAll(dir))
	}
	if err := fresh(data); err != nil {
		return nil, undo(err)
	}
	accounts := "CREATE USER IF NOT EXISTS '" + mariadbUser + "'@'%' IDENTIFIED BY '" + MariaDBPassword + "';\n" +
		"GRANT ALL ON *.* TO '" + mariadbUser + "'@'%';\n"
	init := filepath.Join(dir, "init.sql")
	if err := os.WriteFile(init, []byte(accounts), 0o600); err != nil {
		return nil, undo(err)
	}
	port, err := freePort()
	if err != nil {
		return nil, undo(err)
	}
	// Each has a place of its own for temporary tables: at its start a server removes those
	// that it finds.
	args := append(append(asWho(data), "--bind-address=127.0.0.1", "--port="+port, "--socket="+filepath.Join(dir, "s.sock"), "--tmpdir="+dir,
		"--init-file="+init, "--skip-name-resolve", "--max-connections=2000", "--innodb-buffer-pool-size=64M"), settings...)
	s := &MariaDBServer{port: port}
	if s.proc, err = start(dir, "mariadbd", args...); err != nil {
		return nil, undo(err)
	}
	if err := s.answers(); err != nil {
		err = fmt.Errorf("mariadbd does not start: %w\n%s", err, s.proc.log())
		s.proc.stop()
		return nil, err
	}
	return s, nil
}

// asWho names the files that a program of MariaDB works on, and its user.
func asWho(data string) []string {
	who := []string{"--no-defaults", "--datadir=" + data}
	if os.Geteuid() == 0 {
		who = append(who, "--user=root")
	}
	return who
}

// fresh makes the files of a new server. To make them takes seconds and gives the same each time, so it
// is done once for each version of the server, in the user's cache; what a server works on is a copy.
func fresh(data string) error {
	version, err1 := exec.Command(pathOf("mariadbd"), "--no-defaults", "--version").Output()
	cache, err2 := os.UserCacheDir()
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	cache = filepath.Join(cache, "chopmark-test")
	sum := sha256.Sum256(version)
	kept := filepath.Join(cache, "mariadb-"+hex.EncodeToString(sum[:8]))
	if _, err := os.Stat(kept); errors.Is(err, fs.ErrNotExist) {
		if err := install(cache, kept); err != nil {
			return err
		}
	}
	return os.CopyFS(data, os.DirFS(kept))
}

// install leaves the files of a new server at kept, whole. Who else does so at once may have been first.
func install(cache, kept string) error {
	if err := os.MkdirAll(cache, 0o700); err != nil {
		return err
	}
	made, err := os.MkdirTemp(cache, "making-")
	if err != nil {
		return err
	}
	out, err := exec.Command("mariadb-install-db", append(asWho(made), "--auth-root-authentication-method=normal", "--skip-test-db")...).CombinedOutput()
	if err != nil {
		return errors.Join(fmt.Errorf("mariadb-install-db: %w: %s", err, out), os.RemoveAll(made))
	}
	if err := os.Rename(made, kept); err != nil {
		_, missing := os.Stat(kept)
		return errors.Join(missing, os.RemoveAll(made))
	}
	return nil
}

func errIfText(err error, text []byte) error {
	if err != nil {
		return fmt.Errorf("%w: %s", err, text)
	}
	return nil
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
