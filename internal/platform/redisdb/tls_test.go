package redisdb

import (
	"context"
	"strings"
	"testing"

	"github.com/chopmark/chopmark/test/servers"
)

// TestTLS speaks to a server that was certified by an authority of the test's own: with
// that authority it works, without it and with another one it does not.
func TestTLS(t *testing.T) {
	t.Parallel()
	files := servers.Certificate(t)
	addr := servers.SecureRedis(t, files)
	d := open(t, "rediss://"+addr+"/0?ca="+files.CA)
	if err := d.Guard(func(ctx context.Context) error { return d.Do(ctx, d.B().Ping().Build()).Error() }); err != nil {
		t.Error(err)
	}
	_, port, _ := strings.Cut(addr, ":")
	for name, url := range map[string]string{
		"an unknown authority": "rediss://" + addr + "/0",
		"another authority":    "rediss://" + addr + "/0?ca=" + servers.Certificate(t).CA,
		"another name":         "rediss://localhost:" + port + "/0?ca=" + files.CA,
		"in clear":             "redis://" + addr + "/0",
		"no certificate":       "rediss://" + addr + "/0?ca=" + files.Key,
		"no file":              "rediss://" + addr + "/0?ca=" + files.CA + ".gone",
	} {
		if d, err := Open(t.Context(), Config{URL: url}); err == nil {
			t.Errorf("%s is accepted", name)
			d.Close()
		}
	}
}
