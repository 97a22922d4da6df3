package arch

import (
	"path"
	"slices"
	"strings"
)

// Rules 1 and 2: who may import whom. Test files are free: they wire what they test.
func importRules(t *tree) []violation {
	var found []violation
	seen := map[string]bool{}
	for _, f := range t.files {
		from := placeOf(f.dir)
		if from.kind == unknown && !seen[f.dir] {
			seen[f.dir] = true
			found = append(found, violation{"unknown-package", f.dir, 0, f.dir,
				"no rule knows this package: make it part of a domain, or name it in layout_test.go"})
		}
		if f.test {
			continue
		}
		for _, imp := range f.imports {
			if why := refuseImport(t, from, f.dir, imp.path); why != "" {
				found = append(found, violation{clauseOfImport(from.kind), f.path, imp.line, imp.path, why})
			}
		}
	}
	return found
}

func clauseOfImport(k kind) string {
	switch k {
	case core:
		return "core-imports"
	case event:
		return "event-imports"
	case suite:
		return "suite-imports"
	case engine:
		return "engine-imports"
	case edge:
		return "edge-imports"
	case outlet:
		return "outlet-imports"
	case leaf:
		return "leaf-imports"
	case platform:
		return "platform-imports"
	default:
		return "wiring-imports"
	}
}

// refuseImport says why a package may not import another; "" when it may.
func refuseImport(t *tree, from place, dir, importPath string) string {
	target, ours := t.local(importPath)
	if !ours {
		return refuseForeign(from, importPath)
	}
	to := placeOf(target)
	switch {
	case from.kind == wiring:
		return refuseWiring(dir, target)
	case to.kind == wiring:
		return "only cmd and test import the wiring"
	case to.kind == unknown, to.kind == leaf, strings.HasPrefix(target, dir+"/internal/"):
		return ""
	case to.kind == platform:
		return refusePlatform(from, target)
	case to.kind == event && from.kind != leaf && from.kind != platform:
		return ""
	}
	return refuseDomain(from, to, dir, target)
}

// refuseForeign holds the two standard packages that would make a core an edge or
// an engine. Clients of other programs have their own clause.
func refuseForeign(from place, importPath string) string {
	pure := from.kind == core || from.kind == event
	if pure && (within(importPath, "net/http") || within(importPath, "database/sql")) {
		return "a core knows neither HTTP nor SQL: that belongs to its edges and engines"
	}
	return ""
}

func refuseWiring(dir, target string) string {
	if within(target, "internal/app") && within(dir, "internal") && !within(dir, "internal/app") {
		return "only cmd and test import internal/app"
	}
	return ""
}

func refusePlatform(from place, target string) string {
	rest := strings.TrimPrefix(target, "internal/platform/")
	name, _, _ := strings.Cut(rest, "/")
	switch from.kind {
	case core, event, leaf:
		if !slices.Contains(leafPlatform, name) {
			return "here only platform/{" + strings.Join(leafPlatform, ",") + "} may be imported"
		}
	case edge:
		if slices.Contains(stores, name) {
			return "an edge reaches no store: ask the core for a use case"
		}
	case engine, outlet:
		if name == "httpx" || name == "grpcx" || name == "h3" {
			return "it does not know how it is served"
		}
	default: // suites, the platform and unknown packages may use all of the platform
	}
	return ""
}

func refuseDomain(from, to place, dir, target string) string {
	own := from.domain != "" && from.domain == to.domain
	shown := from.kind == edge && to.kind == core && slices.Contains(edgesByNature[from.domain], to.domain)
	switch {
	case from.kind == leaf, from.kind == platform:
		return "it knows no product noun: turn the dependency round"
	case own && from.kind == event:
		return "published schemas stand alone: the core fills them, not the other way"
	case shown, own && to.kind == core:
		return ""
	case own && to.kind == from.kind && (from.kind != engine || within(target, dir) || within(dir, target)):
		return ""
	case own && to.kind == engine && dir == path.Dir(target):
		return "a core does not know its engines: state the need in store.go"
	case own:
		return "edges, outlets, engines and suites meet in internal/app and in tests, not in each other"
	}
	return "another domain: say what you need as an interface and let internal/app wire it, or use its event package"
}

// within reports whether p is dir or below it.
func within(p, dir string) bool { return p == dir || strings.HasPrefix(p, dir+"/") }
