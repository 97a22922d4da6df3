package trace

import (
	"maps"
	"strings"
)

// StandardContext is the JSON-LD context of EPCIS 2.0.
const StandardContext = "https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld"

// prefixes is what a document's @context, or its XML namespaces, abbreviate.
type prefixes map[string]string

// standardPrefixes are those of EPCIS's own context.
func standardPrefixes() prefixes {
	return prefixes{
		"gs1": "https://ref.gs1.org/voc/", "cbv": "https://ref.gs1.org/cbv/", "epcis": "https://ref.gs1.org/epcis/",
		"cbvmda": "urn:epcglobal:cbv:mda",
	}
}

// expand gives the URI that a name with a prefix stands for; what has no declared prefix is
// left as it is.
func (p prefixes) expand(s string) string {
	prefix, name, ok := strings.Cut(s, ":")
	if !ok || strings.HasPrefix(name, "//") {
		return s
	}
	if space, ok := p[prefix]; ok {
		return space + name
	}
	return s
}

// split takes the name of an extension apart.
func (p prefixes) split(key string) (space, prefix, name string) {
	prefix, name, ok := strings.Cut(key, ":")
	if !ok {
		return "", "", key
	}
	if space, known := p[prefix]; known {
		return space, prefix, name
	}
	if i := strings.LastIndexAny(key, "/#"); i >= 0 {
		return key[:i+1], "", key[i+1:]
	}
	return prefix + ":", "", name
}

// with adds what an @context declares: prefixes, in text or as a term with an @id. What
// else it says is for readers of linked data.
func (r *reader) context(n *node, p prefixes) prefixes {
	switch n.kind {
	case text:
		if !isURI(n.text) {
			r.failf("must be the URI of a context, or prefixes")
		}
		return p
	case object:
	default:
		r.failf("must be a URI, an object, or a list of these")
		return p
	}
	out := make(prefixes, len(p)+len(n.keys))
	maps.Copy(out, p)
	for i, key := range n.keys {
		def := &n.all[i]
		if def.kind == object {
			def = def.get("@id")
		}
		if def != nil && def.kind == text && key != "" && key[0] != '@' && !strings.Contains(key, ":") {
			out[key] = p.expand(def.text)
		}
	}
	if len(out) > prefixesMax {
		r.failOursf("declares more than %d prefixes", prefixesMax)
		return p
	}
	return out
}

// contexts is context for a list of them too.
func (r *reader) contexts(n *node, p prefixes) prefixes {
	if n.kind != list {
		return r.context(n, p)
	}
	var seen map[string]bool // from the second on
	for i := range n.all {
		r.push("", i)
		one := &n.all[i]
		if one.kind == text && seen[one.text] {
			r.failf("comes twice")
		}
		if one.kind == text && i < len(n.all)-1 {
			if seen == nil {
				seen = map[string]bool{}
			}
			seen[one.text] = true
		}
		p = r.context(one, p)
		r.pop()
	}
	return p
}
