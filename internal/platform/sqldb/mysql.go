package sqldb

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/pressly/goose/v3"

	"github.com/chopmark/chopmark/internal/platform/tlsclient"
)

// The seed's pool of 100 connections, 20 of them idle, is for writers and readers
// together: half each.
const (
	mysqlConns     = 50
	mysqlIdle      = 10
	mysqlConnLife  = time.Hour
	mysqlIdleLife  = 10 * time.Minute
	connectTimeout = 10 * time.Second
	ioTimeout      = 30 * time.Second
)

// MySQLOptions is what an operator may set beside the URL.
type MySQLOptions struct {
	// AllowUnsafe logs what is wrong with the server's settings instead of refusing it.
	AllowUnsafe bool
	Log         *slog.Logger
}

// OpenMySQL opens a database of a server that speaks the MySQL protocol:
// mysql://user:pass@host:port/db?tls=true (or skip-verify), with &tls-ca=FILE for an
// authority of your own. A server that may lose
// what it has acknowledged is refused, with the reason and the fix. The password is
// in no name and no error.
func OpenMySQL(ctx context.Context, rawURL string, o MySQLOptions) (*DB, error) {
	cfg, name, err := mysqlConfig(rawURL)
	if err != nil {
		return nil, err
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	cfg.Logger = driverLog{o.Log}
	connector, err := mysql.NewConnector(cfg)
	cfg.ReadTimeout = 0
	patient, err2 := mysql.NewConnector(cfg)
	if err := errors.Join(err, err2); err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	db := &DB{name: name, dialect: MySQL, write: mysqlPool(connector), read: mysqlPool(connector), mig: migrator{
		dialect: goose.DialectMySQL, locker: lockFor(cfg.DBName), open: func() *sql.DB { return mysqlPool(patient) },
	}}
	if err := db.judgeServer(ctx, o); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// ErrMySQLURL answers a URL that is not of such a server.
var ErrMySQLURL = errors.New("the URL of the SQL server must look like mysql://user:pass@host:port/db")

// mysqlConfig reads the URL. Its errors must not quote it: it holds the password.
func mysqlConfig(rawURL string) (_ *mysql.Config, name string, _ error) {
	u, err := url.Parse(rawURL)
	if err != nil || u.Scheme != "mysql" || u.Hostname() == "" || u.Opaque != "" || u.Fragment != "" {
		return nil, "", ErrMySQLURL
	}
	database := strings.TrimPrefix(u.Path, "/")
	if database == "" || strings.Contains(database, "/") {
		return nil, "", fmt.Errorf("%w: it names no database", ErrMySQLURL)
	}
	cfg := mysql.NewConfig()
	cfg.Net, cfg.Addr, cfg.DBName = "tcp", net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "3306")), database
	if u.User != nil {
		cfg.User = u.User.Username()
		cfg.Passwd, _ = u.User.Password()
	}
	if err := mysqlTLS(cfg, u.Query()); err != nil {
		return nil, "", err
	}
	cfg.Collation = "utf8mb4_bin"
	cfg.ParseTime = true       // of goose's own tables; ours hold microseconds
	cfg.ClientFoundRows = true // a row that was found counts as changed, as with SQLite
	// Values travel apart from the statement, never as part of its text: one round trip
	// more, and nothing to escape.
	cfg.InterpolateParams = false
	cfg.Timeout, cfg.ReadTimeout, cfg.WriteTimeout = connectTimeout, ioTimeout, ioTimeout
	name = (&url.URL{Scheme: "mysql", User: userOf(cfg.User), Host: cfg.Addr, Path: "/" + database}).String()
	return cfg, name, nil
}

func mysqlTLS(cfg *mysql.Config, settings url.Values) (err error) {
	for key, values := range settings {
		if key != "tls" && key != "tls-ca" || len(values) != 1 {
			return fmt.Errorf("%w: the only settings behind ? are tls and tls-ca, each once, not %s", ErrMySQLURL, key)
		}
	}
	switch cfg.TLSConfig = settings.Get("tls"); cfg.TLSConfig {
	case "true", "false", "skip-verify":
	case "":
		if settings.Has("tls") {
			return fmt.Errorf("%w: tls is true, false or skip-verify", ErrMySQLURL)
		}
	default:
		return fmt.Errorf("%w: tls is true, false or skip-verify", ErrMySQLURL)
	}
	if !settings.Has("tls-ca") {
		return nil
	}
	if cfg.TLSConfig != "true" {
		return fmt.Errorf("%w: tls-ca needs tls=true", ErrMySQLURL)
	}
	cfg.TLS, err = tlsclient.Config(settings.Get("tls-ca"))
	return err
}

func userOf(name string) *url.Userinfo {
	if name == "" {
		return nil
	}
	return url.User(name)
}

func mysqlPool(c driver.Connector) *sql.DB {
	pool := sql.OpenDB(session{c})
	pool.SetMaxOpenConns(mysqlConns)
	pool.SetMaxIdleConns(mysqlIdle)
	pool.SetConnMaxLifetime(mysqlConnLife)
	pool.SetConnMaxIdleTime(mysqlIdleLife)
	return pool
}

// session is a connector whose connections all have our settings, whatever the
// server's are.
type session struct{ driver.Connector }

// Connect implements driver.Connector.
func (s session) Connect(ctx context.Context) (driver.Conn, error) {
	// A server gives up a silent connection, and the locks of its transaction, after
	// wait_timeout: longer than our pools keep an idle one.
	const settings = `SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO',
		time_zone = '+00:00', autocommit = 1, innodb_lock_wait_timeout = 5, wait_timeout = 900`
	const isolation = `SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED`
	conn, err := s.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	run, ok := conn.(driver.ExecerContext)
	if !ok {
		return nil, errors.Join(errors.New("the driver runs no statements"), conn.Close())
	}
	_, err = run.ExecContext(ctx, settings, nil)
	if err == nil {
		_, err = run.ExecContext(ctx, isolation, nil)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("set up the session: %w", err), conn.Close())
	}
	return conn, nil
}

// driverLog takes what the driver tells of lost connections. Whoever needed the
// connection says the same with more context.
type driverLog struct{ log *slog.Logger }

// Print implements mysql.Logger.
func (l driverLog) Print(v ...any) { l.log.Debug("SQL driver", "text", fmt.Sprint(v...)) }
