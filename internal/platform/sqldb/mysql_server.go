package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// ErrUnsafeServer answers a server that may lose what it has acknowledged, or that
// keeps another promise that Chopmark stands on.
var ErrUnsafeServer = errors.New("this SQL server may lose what it has acknowledged")

// judgeServer refuses a server that is too old or set up unsafely.
func (d *DB) judgeServer(ctx context.Context, o MySQLOptions) error {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	var version string
	if err := d.write.QueryRowContext(ctx, `SELECT VERSION()`).Scan(&version); err != nil {
		return fmt.Errorf("connect to %s: %w", d.name, err)
	}
	kind, err := judgeVersion(version)
	if err != nil {
		return fmt.Errorf("%s: %w", d.name, err)
	}
	settings, err := d.settings(ctx)
	if err != nil {
		return fmt.Errorf("read the settings of %s: %w", d.name, err)
	}
	flaws := judgeSettings(kind, settings)
	if len(flaws) == 0 {
		return nil
	}
	if o.AllowUnsafe {
		for _, f := range flaws {
			o.Log.WarnContext(ctx, "UNSAFE SQL server, allowed by --allow-unsafe", "server", d.name, "flaw", f)
		}
		return nil
	}
	return fmt.Errorf("%w: %s: %s; or start with --allow-unsafe", ErrUnsafeServer, d.name, strings.Join(flaws, "; "))
}

// settings reads the server's variables that matter. One that the server does not have is absent.
func (d *DB) settings(ctx context.Context) (map[string]string, error) {
	const query = `SHOW GLOBAL VARIABLES WHERE Variable_name IN ('innodb_flush_log_at_trx_commit', 'log_bin', 'sync_binlog',
		'binlog_format', 'wsrep_on', 'tidb_disable_txn_auto_retry', 'tidb_txn_mode')`
	type setting struct{ name, value string }
	all, err := Collect(ctx, d.write, func(r *sql.Rows) (s setting, err error) {
		err = r.Scan(&s.name, &s.value)
		return s, err
	}, query)
	found := map[string]string{}
	for _, s := range all {
		found[strings.ToLower(s.name)] = strings.ToUpper(s.value)
	}
	return found, err
}

// serverKind is who made the server.
type serverKind string

const (
	kindMySQL   serverKind = "MySQL"
	kindMariaDB serverKind = "MariaDB"
	kindTiDB    serverKind = "TiDB"
)

// oldest is the first version that is kept in repair by its makers and has what we
// use: of TiDB that is GET_LOCK and READ COMMITTED with locks.
func oldest(k serverKind) (major, minor int) {
	switch k {
	case kindMariaDB:
		return 10, 6
	case kindTiDB:
		return 6, 5
	default:
		return 8, 0
	}
}

// judgeVersion reads VERSION(): 8.0.36, 10.11.6-MariaDB-…, 8.0.11-TiDB-v7.5.0.
func judgeVersion(version string) (serverKind, error) {
	kind, number := kindMySQL, version
	if _, after, ok := strings.Cut(version, "-TiDB-v"); ok {
		kind, number = kindTiDB, after
	} else if strings.Contains(version, "MariaDB") {
		kind, number = kindMariaDB, strings.TrimPrefix(version, "5.5.5-") // put in front for old replicas
	}
	parts := strings.SplitN(number, ".", 3)
	if len(parts) < 2 {
		return kind, fmt.Errorf("cannot read the version %q of this SQL server", version)
	}
	major, err := strconv.Atoi(parts[0])
	minor, err2 := strconv.Atoi(strings.TrimRight(parts[1], "-abcdefghijklmnopqrstuvwxyz"))
	if err := errors.Join(err, err2); err != nil {
		return kind, fmt.Errorf("cannot read the version %q of this SQL server", version)
	}
	wantMajor, wantMinor := oldest(kind)
	if major < wantMajor || major == wantMajor && minor < wantMinor {
		return kind, fmt.Errorf("%s %d.%d is too old: it must be %d.%d or newer", kind, major, minor, wantMajor, wantMinor)
	}
	return kind, nil
}

// rule is a setting that must have one value.
type rule struct {
	kinds             []serverKind // nil = all
	onlyIf            string       // another setting that must be ON
	name, value       string
	because, orRather string
}

// TiDB shows many of MySQL's settings for the sake of old clients; they do nothing there.
var rules = []rule{
	{kinds: []serverKind{kindMySQL, kindMariaDB}, name: "innodb_flush_log_at_trx_commit", value: "1",
		because: "a power cut loses the last second", orRather: "set it to 1"},
	{kinds: []serverKind{kindMySQL, kindMariaDB}, onlyIf: "log_bin", name: "sync_binlog", value: "1",
		because: "after a power cut the binary log lacks transactions, and replicas with it", orRather: "set it to 1"},
	{kinds: []serverKind{kindMySQL, kindMariaDB}, onlyIf: "log_bin", name: "binlog_format", value: "ROW",
		because: "replicas that run statements again may come to other rows", orRather: "set it to ROW"},
	{name: "wsrep_on", value: "OFF",
		because: "Galera certifies at the commit, so locks do not keep the order of commits", orRather: "use one primary with replicas"},
	{kinds: []serverKind{kindTiDB}, name: "tidb_disable_txn_auto_retry", value: "ON",
		because: "TiDB would repeat statements without what was decided between them", orRather: "set it to ON"},
	{kinds: []serverKind{kindTiDB}, name: "tidb_txn_mode", value: "PESSIMISTIC",
		because: "optimistic transactions take no locks, so commits have no order", orRather: "set it to pessimistic"},
}

// judgeSettings says what is wrong, why, and what to do. A setting that is not there
// belongs to another kind of server.
func judgeSettings(kind serverKind, settings map[string]string) []string {
	var flaws []string
	for _, r := range rules {
		has, known := settings[r.name]
		if !known || r.kinds != nil && !slices.Contains(r.kinds, kind) || r.onlyIf != "" && onOff(settings[r.onlyIf]) != "ON" {
			continue
		}
		if onOff(has) != r.value && has != r.value {
			flaws = append(flaws, fmt.Sprintf("%s = %s: %s; %s", r.name, has, r.because, r.orRather))
		}
	}
	return flaws
}

// onOff is the word for a switch that some servers show as a number.
func onOff(value string) string {
	switch value {
	case "1":
		return "ON"
	case "0":
		return "OFF"
	}
	return value
}
