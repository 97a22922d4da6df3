package sqldbtest

import (
	"net/url"
	"testing"

	"github.com/chopmark/chopmark/test/servers"
)

// Fate is what becomes of a connection when a certain statement passes.
type Fate = servers.Fate

// The fates of a statement's connection.
const (
	RequestLost = servers.RequestLost // the statement never reaches the server
	ReplyLost   = servers.ReplyLost   // the server acts on it, and nobody hears
)

// Proxy stands between a client and a SQL server and cuts connections on demand.
type Proxy struct {
	*servers.Proxy

	URL string // as the server's, through the proxy
}

// NewProxy makes a proxy for the server of the URL. It ends with the test.
func NewProxy(t *testing.T, serverURL string) *Proxy {
	t.Helper()
	u, err := url.Parse(serverURL)
	if err != nil {
		t.Fatal(err)
	}
	p, err := servers.NewProxy(u.Host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	u.Host = p.Addr
	return &Proxy{p, u.String()}
}
