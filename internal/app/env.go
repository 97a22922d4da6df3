package app

import (
	"net"
)

// The environments.
const (
	Development = "development" // everything that may be set, may be set
	Production  = "production"  // what is unsafe where others depend on it is refused
)

// checkEnv refuses, in production, each setting that is for trying things out.
func (c *Config) checkEnv() error {
	switch c.Env {
	case "", Development:
		return nil
	case Production:
	default:
		return usage("env", "must be %s or %s", Development, Production)
	}
	const why = "is refused with --env production: "
	switch {
	case c.AllowUnsafe:
		return usage("allow-unsafe", why+"a server that may lose what it has acknowledged")
	case c.TLSSelfSigned:
		return usage("tls-self-signed", why+"nobody can tell whose certificate it is")
	case c.Demo:
		return usage("demo", why+"sample data, and a page that shows it to everybody")
	case c.ScanAckAsync:
		return usage("scan-ack", why+"async answers scans that a crash forgets")
	case c.Limits.Address == "off" || c.Limits.Keys == "off":
		return usage("limit-address", why+"strangers and wrong keys without a limit; limit-keys too")
	case c.exposed(c.Listen):
		return usage("listen", why+"HTTP in the clear off this machine; name the proxy that ends TLS with --trusted-proxy, or use --tls-listen alone")
	case c.exposed(c.GRPCListen):
		return usage("grpc-listen", why+"gRPC in the clear off this machine; name the proxy that ends TLS with --trusted-proxy, or --grpc-listen \"\"")
	case c.DebugListen != "" && !onLoopback(c.DebugListen):
		return usage("debug-listen", why+"pprof shows what is in memory")
	}
	return nil
}

// exposed reports that a listener takes cleartext off this machine without a proxy in front.
func (c *Config) exposed(addr string) bool {
	return addr != "" && !onLoopback(addr) && len(c.TrustedProxies) == 0
}

func onLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	return err == nil && isLoopbackHost(host)
}
