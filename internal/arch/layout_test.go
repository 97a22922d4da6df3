package arch

import (
	"slices"
	"strings"
)

// kind is a package's part in the layout; it decides what the package may import.
type kind int

const (
	unknown  kind = iota
	core          // internal/redeem: types, pure rules, use cases, the store's contract
	event         // internal/redeem/redeemevent: published schemas
	suite         // internal/redeem/redeemtest: the store suite and fakes
	engine        // internal/redeem/redeemsql
	edge          // internal/redeem/redeemhttp
	outlet        // internal/redeem/redeemkafka: takes facts to other programs and keeps none
	leaf          // internal/ids: imported by everybody, knows nobody
	platform      // internal/platform/sqldb: knows no product noun
	wiring        // internal/app, cmd, test: may import everything
)

// domains are the product's parts, as `ls internal/` shows them.
var domains = []string{
	"batch", "verify", "scan", "trace", "source", "timeline", "risk", "redeem", "catalog", "stock", "sale", "order",
	"pay", "ship", "identity", "resolve", "notify", "keyset", "site", "console", "complaint", "scanner", "find", "line",
}

// edgesByNature are domains that are nothing but an edge: pages and the console
// are HTTP all through. The cores that each one shows are listed beside it.
var edgesByNature = map[string][]string{
	"site":    {"verify", "trace"}, // the consumer page shows a verdict and a timeline
	"console": {},                  // an embedded build that talks to the public API
	"scanner": {},                  // an embedded build, and the keys that it verifies with
}

// leaves are imported by everybody. They may import each other and leafPlatform.
var leaves = []string{"ids", "codebook", "gs1", "mark", "picture"}

// leafPlatform are the platform packages that hold a vocabulary and no mechanism.
var leafPlatform = []string{"fault", "clock"}

// stores are the platform packages that reach a database or a queue. They are for
// engines and for the platform: an edge that needs one wants a use case instead.
var stores = []string{"sqldb", "kvdb", "redisdb", "stream", "kafka", "search"}

var (
	engineSuffixes = []string{"sql", "kv", "redis", "file", "search"}
	edgeSuffixes   = []string{"http", "rpc"}
	outletSuffixes = []string{"kafka"}
)

// place is where a package stands in the layout. domain is empty for leaves,
// platform packages and wiring.
type place struct {
	kind   kind
	domain string
}

// placeOf classifies a directory. A sub-package of a domain whose name says
// nothing special is part of its core and held to the core's rule.
func placeOf(dir string) place {
	parts := strings.Split(dir, "/")
	switch {
	case parts[0] == "cmd", parts[0] == "test", dir == ".":
		return place{kind: wiring}
	case parts[0] != "internal" || len(parts) < 2:
		return place{kind: unknown}
	}
	name := parts[1]
	switch {
	case name == "app" || name == "arch":
		return place{kind: wiring}
	case name == "platform":
		return place{kind: platform}
	case slices.Contains(leaves, name):
		return place{kind: leaf}
	case !slices.Contains(domains, name):
		return place{kind: unknown}
	}
	if _, ok := edgesByNature[name]; ok {
		return place{kind: edge, domain: name}
	}
	if len(parts) == 2 {
		return place{kind: core, domain: name}
	}
	return place{kind: subKind(name, parts[2]), domain: name}
}

func subKind(domain, sub string) kind {
	suffix, ok := strings.CutPrefix(sub, domain)
	switch {
	case !ok:
		return core
	case suffix == "event":
		return event
	case suffix == "test":
		return suite
	case slices.Contains(engineSuffixes, suffix):
		return engine
	case slices.Contains(edgeSuffixes, suffix):
		return edge
	case slices.Contains(outletSuffixes, suffix):
		return outlet
	}
	return core
}
