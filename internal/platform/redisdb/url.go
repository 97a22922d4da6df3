package redisdb

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/redis/rueidis"

	"github.com/chopmark/chopmark/internal/platform/tlsclient"
)

const urlForms = "redis://[:pass@]host:port/0, redis+sentinel://host:port,…/master or redis+cluster://host:port,…; rediss for TLS, with ?ca=FILE for an authority of your own"

// parse reads a URL by hand: net/url allows one host, and its errors show the password.
func parse(text string) (o rueidis.ClientOption, _ error) {
	bad := func(why string) (rueidis.ClientOption, error) {
		return o, errors.New("the URL of Redis " + why + "; it is " + urlForms)
	}
	scheme, rest, _ := strings.Cut(text, "://")
	base, kind, _ := strings.Cut(scheme, "+")
	if base != "redis" && base != "rediss" {
		return bad("has another scheme than redis or rediss")
	}
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		user, pass, _ := strings.Cut(rest[:at], ":")
		var err1, err2 error
		o.Username, err1 = url.PathUnescape(user)
		o.Password, err2 = url.PathUnescape(pass)
		if err1 != nil || err2 != nil {
			return bad("has a user or password with a bad % escape")
		}
		rest = rest[at+1:]
	}
	rest, query, _ := strings.Cut(rest, "?")
	hosts, path, _ := strings.Cut(rest, "/")
	for host := range strings.SplitSeq(hosts, ",") {
		if h, port, err := net.SplitHostPort(host); err != nil || h == "" || port == "" {
			return bad("has no host:port")
		}
		o.InitAddress = append(o.InitAddress, host)
	}
	ca, err := caOf(query, base == "rediss")
	if err != nil {
		return bad(err.Error())
	}
	if base == "rediss" {
		if o.TLSConfig, err = tlsclient.Config(ca); err != nil {
			return o, err
		}
	}
	switch kind {
	case "":
		db, err := strconv.Atoi(strings.TrimSuffix(path, "/"))
		if path != "" && (err != nil || db < 0) || len(o.InitAddress) > 1 {
			return bad("has one host and a number of a database")
		}
		o.SelectDB, o.ForceSingleClient = db, true
	case "sentinel":
		if path == "" {
			return bad("does not name the master that the Sentinels watch")
		}
		o.Sentinel = rueidis.SentinelOption{MasterSet: path, Username: o.Username, Password: o.Password, TLSConfig: o.TLSConfig}
	case "cluster":
		if path != "" {
			return bad("has a path, and a Cluster has one database")
		}
		o.ShuffleInit = true
	default:
		return bad(fmt.Sprintf("has the unknown kind %q", kind))
	}
	return o, nil
}

// caOf reads what stands behind the ?.
func caOf(query string, secure bool) (file string, _ error) {
	settings, err := url.ParseQuery(query)
	if err != nil {
		return "", errors.New("has settings behind ? that cannot be read")
	}
	for key, values := range settings {
		if key != "ca" || len(values) != 1 || values[0] == "" || !secure {
			return "", errors.New("has a setting behind ? that is not ca=FILE of a rediss URL")
		}
	}
	return settings.Get("ca"), nil
}

func hasPrefix(s string, prefixes ...string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}
