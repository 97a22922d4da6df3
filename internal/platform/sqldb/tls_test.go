package sqldb

import (
	"database/sql"
	"strings"
	"testing"

	"github.com/chopmark/chopmark/test/servers"
)

// TestTLS speaks to a server that was certified by an authority of the test's own: with
// that authority it works, without it and with another one it does not.
func TestTLS(t *testing.T) {
	t.Parallel()
	files := servers.Certificate(t)
	server := servers.StartMariaDB(t, "--ssl-cert="+files.Cert, "--ssl-key="+files.Key, "--ssl-ca="+files.CA)
	url := server.Database(t)
	db, err := OpenMySQL(t.Context(), url+"?tls=true&tls-ca="+files.CA, MySQLOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	cipher, err := Collect(t.Context(), db.Reader(), func(r *sql.Rows) (c [2]string, err error) {
		err = r.Scan(&c[0], &c[1])
		return c, err
	}, `SHOW STATUS LIKE 'Ssl_cipher'`)
	if err != nil || len(cipher) != 1 || cipher[0][1] == "" {
		t.Errorf("the connection is sealed by %v, %v", cipher, err)
	}
	for name, refused := range map[string]string{
		"an unknown authority": url + "?tls=true",
		"another authority":    url + "?tls=true&tls-ca=" + servers.Certificate(t).CA,
		"another name":         strings.Replace(url, "127.0.0.1", "localhost", 1) + "?tls=true&tls-ca=" + files.CA,
		"no file":              url + "?tls=true&tls-ca=" + files.CA + ".gone",
		"an authority alone":   url + "?tls-ca=" + files.CA,
		"and no check":         url + "?tls=skip-verify&tls-ca=" + files.CA,
	} {
		db, err := OpenMySQL(t.Context(), refused, MySQLOptions{})
		if err == nil {
			t.Errorf("%s is accepted", name)
			_ = db.Close()
		} else if strings.Contains(err.Error(), servers.MariaDBPassword) {
			t.Errorf("%s: the error tells the password: %v", name, err)
		}
	}
}
