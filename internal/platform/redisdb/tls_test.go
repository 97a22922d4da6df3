package redisdb

import (
	"context"
	"strconv"
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

// TestTLSOfManyServers speaks to servers that are told of by others: a Cluster's nodes, and
// the master that a Sentinel names.
func TestTLSOfManyServers(t *testing.T) {
	t.Parallel()
	files := servers.Certificate(t)
	nodes, sentinel := servers.SecureRedisCluster(t, files), servers.SecureRedisSentinel(t, files)
	for name, url := range map[string]string{
		"Cluster": "rediss+cluster://" + nodes[0], "Sentinel": "rediss+sentinel://" + sentinel + "/" + servers.RedisMaster,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := open(t, url+"?ca="+files.CA)
			for i := range 30 { // of every node of a Cluster
				key := "k" + strconv.Itoa(i)
				err := d.Guard(func(ctx context.Context) error { return d.Do(ctx, d.B().Set().Key(key).Value(key).Build()).Error() })
				if err != nil {
					t.Fatal(err)
				}
				if got, err := d.Do(t.Context(), d.B().Get().Key(key).Build()).ToString(); err != nil || got != key {
					t.Fatal(got, err)
				}
			}
			for why, bad := range map[string]string{
				"an unknown authority": url, "another authority": url + "?ca=" + servers.Certificate(t).CA, "in clear": strings.Replace(url, "rediss", "redis", 1),
			} {
				if d, err := Open(t.Context(), Config{URL: bad}); err == nil {
					t.Errorf("%s is accepted", why)
					d.Close()
				}
			}
		})
	}
}
