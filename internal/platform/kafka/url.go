package kafka

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/chopmark/chopmark/internal/platform/tlsclient"
)

// Address is where Kafka is and how it is spoken to.
type Address struct {
	Brokers []string    // host:port of some of them
	TLS     *tls.Config // nil = in clear
	sasl    sasl.Mechanism
}

const urlForms = "host:port,… or kafka://[user:pass@]host:port,…; kafkas for TLS, with ?ca=FILE for an authority of your own; " +
	"sasl=scram-sha-512 (usual), scram-sha-256 or plain"

// Parse reads "host:port,…" or a URL by hand: net/url allows one host, and its errors show
// the password.
func Parse(text string) (a Address, _ error) {
	bad := func(why string) error { return errors.New("the address of Kafka " + why + "; it is " + urlForms) }
	scheme, rest, isURL := strings.Cut(text, "://")
	if !isURL {
		scheme, rest = "kafka", text
	}
	if scheme != "kafka" && scheme != "kafkas" {
		return a, bad("has another scheme than kafka or kafkas")
	}
	var user, pass string
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		var err1, err2 error
		name, word, _ := strings.Cut(rest[:at], ":")
		user, err1 = url.PathUnescape(name)
		pass, err2 = url.PathUnescape(word)
		if err1 != nil || err2 != nil || user == "" || pass == "" {
			return a, bad("has no user and password, or a bad % escape in one")
		}
		rest = rest[at+1:]
	}
	hosts, query, _ := strings.Cut(rest, "?")
	for b := range strings.SplitSeq(hosts, ",") {
		host, port, err := net.SplitHostPort(b)
		if n, err2 := strconv.ParseUint(port, 10, 16); err != nil || err2 != nil || n == 0 || host == "" {
			return a, bad(fmt.Sprintf("names %q, which is no host:port", b))
		}
		a.Brokers = append(a.Brokers, b)
	}
	settings, err := url.ParseQuery(query)
	if err != nil {
		return a, bad("has settings behind ? that cannot be read")
	}
	err = a.settle(scheme == "kafkas", user, pass, settings)
	return a, err
}

// settle reads what stands behind the brokers.
func (a *Address) settle(secure bool, user, pass string, settings url.Values) (err error) {
	for key, values := range settings {
		if key != "ca" && key != "sasl" || len(values) != 1 {
			return fmt.Errorf("the address of Kafka has the setting %q; it is %s", key, urlForms)
		}
	}
	ca, mechanism := settings.Get("ca"), settings.Get("sasl")
	switch {
	case secure:
		if a.TLS, err = tlsclient.Config(ca); err != nil {
			return err
		}
	case ca != "":
		return errors.New("the address of Kafka names an authority and no TLS: begin it with kafkas://")
	}
	switch {
	case user == "" && mechanism != "":
		return errors.New("the address of Kafka names a way to sign in and no user: write kafkas://user:pass@…")
	case user == "":
	case mechanism == "" || mechanism == "scram-sha-512":
		a.sasl = scram.Auth{User: user, Pass: pass}.AsSha512Mechanism()
	case mechanism == "scram-sha-256":
		a.sasl = scram.Auth{User: user, Pass: pass}.AsSha256Mechanism()
	case mechanism == "plain" && secure:
		a.sasl = plain.Auth{User: user, Pass: pass}.AsMechanism()
	case mechanism == "plain":
		return errors.New("sasl=plain would send the password in clear: begin the address of Kafka with kafkas://")
	default:
		return errors.New("the address of Kafka names another way to sign in than scram-sha-512, scram-sha-256 and plain")
	}
	return nil
}
