package app

import (
	"strings"
	"testing"
)

// TestProduction: each setting that is for trying things out is refused by its own name, and
// what production needs is taken; development takes all of them.
func TestProduction(t *testing.T) {
	t.Parallel()
	good := func() Config {
		return Config{Data: "d", Listen: "127.0.0.1:8080", GRPCListen: "127.0.0.1:8081", Env: Production}
	}
	for flag, change := range map[string]func(c *Config){
		"allow-unsafe":    func(c *Config) { c.AllowUnsafe = true },
		"tls-self-signed": func(c *Config) { c.TLSListen, c.TLSSelfSigned = "0.0.0.0:443", true },
		"demo":            func(c *Config) { c.Demo = true },
		"scan-ack":        func(c *Config) { c.ScanAckAsync = true },
		"limit-address":   func(c *Config) { c.Limits.Keys = "off" },
		"listen":          func(c *Config) { c.Listen = "0.0.0.0:8080" },
		"grpc-listen":     func(c *Config) { c.GRPCListen = ":8081" },
		"debug-listen":    func(c *Config) { c.DebugListen = "0.0.0.0:6060" },
		"env":             func(c *Config) { c.Env = "prod" },
	} {
		c := good()
		change(&c)
		if err := c.check(); err == nil || !strings.Contains(err.Error(), flag) {
			t.Errorf("%s: %v", flag, err)
		}
		if c.Env = Development; flag != "env" {
			if err := c.check(); err != nil {
				t.Errorf("%s in development: %v", flag, err)
			}
		}
	}
	for name, change := range map[string]func(c *Config){
		"loopback": func(*Config) {}, "behind a proxy": func(c *Config) { c.Listen, c.TrustedProxies = "0.0.0.0:8080", []string{"10.0.0.0/8"} },
		"TLS": func(c *Config) { c.TLSListen, c.TLSCert, c.TLSKey = "0.0.0.0:443", "c", "k" }, "no gRPC": func(c *Config) { c.GRPCListen = "" },
	} {
		c := good()
		change(&c)
		if err := c.check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
