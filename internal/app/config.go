// Package app wires the product together: configuration, engines, domains,
// listeners. It holds no rule of its own; each domain's wiring is one file.
package app

import (
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

// Config is everything that an operator may set.
type Config struct {
	Data           string // directory of the embedded engines
	Listen         string // HTTP/1.1 and cleartext HTTP/2
	TLSListen      string // HTTPS; "" = off
	TLSCert        string
	TLSKey         string
	TLSSelfSigned  bool
	GRPCListen     string // "" = off
	DebugListen    string // pprof; "" = off
	PublicURL      string // "" = by the listeners
	Region         int
	ScanAckAsync   bool
	ScanLogMax     int64  // bytes that the log of scans may keep; 0 = no bound
	ScanDays       int    // how long scan records are kept; 0 = the usual time
	GeoIP          string // .xdb or .mmdb; "" = places are unknown
	TrustedProxies []string
	Limits         LimitConfig
	LogLevel       string // told in the version of what is in force
	SourcePrivate  bool   // sources may be in this network
	ExpireRule     string // when batches expire that name no expiry, with a zone
	Demo           bool
	AdminKey       string // becomes the admin key of an empty installation
	Version        string
	Env            string // Development or Production; "" = the first

	People PeopleConfig

	RoleConfig
	EngineConfig
}

// usage is a fault of the command line: the process exits with 2.
func usage(flag, format string, args ...any) error {
	return fault.Field("usage", flag, format, args...)
}

// expireRuleLayouts are how expire_rule may be written; a zone's name may follow
// the second.
const expireRuleLayout = "2006-01-02 15:04:05"

// ParseExpireRule reads "2026-12-31 23:59:59 Asia/Shanghai" or an RFC 3339 time.
func ParseExpireRule(rule string) (time.Time, error) {
	if rule == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, rule); err == nil {
		return t.UTC(), nil
	}
	if len(rule) <= len(expireRuleLayout) {
		return time.Time{}, usage("expire-rule", `needs a zone: "2026-12-31 23:59:59 Asia/Shanghai"`)
	}
	zone, err := time.LoadLocation(strings.TrimSpace(rule[len(expireRuleLayout):]))
	if err != nil {
		return time.Time{}, usage("expire-rule", "%q names no time zone", rule)
	}
	t, err := time.ParseInLocation(expireRuleLayout, rule[:len(expireRuleLayout)], zone)
	if err != nil {
		return time.Time{}, usage("expire-rule", `must look like "2026-12-31 23:59:59 Asia/Shanghai"`)
	}
	return t.UTC(), nil
}

// scanDaysMax is ten years.
const scanDaysMax = 3650

// check finds what cannot work before anything is opened.
func (c *Config) check() error {
	if c.Data == "" {
		return usage("data", "must name a directory")
	}
	if c.Region < 0 || c.Region > ids.RegionMax {
		return usage("region", "must be between 0 and %d", ids.RegionMax)
	}
	if c.TLSListen != "" && !c.TLSSelfSigned && (c.TLSCert == "" || c.TLSKey == "") {
		return usage("tls-listen", "needs --tls-cert and --tls-key, or --tls-self-signed")
	}
	if c.PublicURL != "" {
		u, err := url.Parse(c.PublicURL)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
			return usage("public-url", "must be http:// or https:// and a host")
		}
		c.PublicURL = strings.TrimSuffix(c.PublicURL, "/")
	}
	if _, err := ParseExpireRule(c.ExpireRule); err != nil {
		return err
	}
	if c.Demo && !c.Runs(RoleIssue) {
		return usage("demo", "needs a process with the role issue")
	}
	if c.Redis != "" && c.SQL == "" && c.hasSQL() {
		return usage("redis", "holds counts that are loaded from SQL: it needs --sql")
	}
	if c.SQL == "" && c.hasSQL() && (!c.Runs(RoleIssue) || !c.Runs(RoleWorker)) && !c.AllowUnsafe {
		return usage("target", "has not both issue and worker, and no other process can use this data directory: name a database that the processes share with --sql, or start with --target all")
	}
	if c.ScanDays < 0 || c.ScanDays > scanDaysMax {
		return usage("scan-days", "must be between 1 and %d", scanDaysMax)
	}
	if _, err := c.Limits.limits(); err != nil {
		return err
	}
	if err := c.checkEnv(); err != nil {
		return err
	}
	if err := c.EngineConfig.check(); err != nil {
		return err
	}
	return c.RoleConfig.check()
}

// publicURL is what codes link to when the operator does not say: the TLS listener
// where there is one, else the plain one.
func publicURL(c *Config) (string, error) {
	if c.PublicURL != "" {
		return c.PublicURL, nil
	}
	scheme, addr := "http", c.Listen
	if c.TLSListen != "" {
		scheme, addr = "https", c.TLSListen
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", usage("listen", "%q is not host:port", addr)
	}
	switch ip := net.ParseIP(host); {
	case host == "" || ip != nil && ip.IsUnspecified():
		host = lanAddress()
	case ip != nil && ip.IsLoopback():
		host = "localhost"
	}
	if scheme == "http" && port == "80" || scheme == "https" && port == "443" {
		return fmt.Sprintf("%s://%s", scheme, bracket(host)), nil
	}
	return fmt.Sprintf("%s://%s", scheme, net.JoinHostPort(host, port)), nil
}

func bracket(host string) string {
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}

// lanAddress is this machine's first address that others can reach.
func lanAddress() string {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return "localhost"
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && n.IP.IsGlobalUnicast() {
			return n.IP.String()
		}
	}
	return "localhost"
}
