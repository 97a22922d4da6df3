package trace

import (
	"slices"
	"strings"
)

// StandardContext is the JSON-LD context of EPCIS 2.0.
const StandardContext = "https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld"

// prefixes is what a document's @context, or its XML namespaces, abbreviate: few, so a list.
type prefixes []abbreviation

type abbreviation struct{ prefix, space string }

func (p prefixes) of(prefix string) (space string, known bool) {
	for i := range p {
		if p[i].prefix == prefix {
			return p[i].space, true
		}
	}
	return "", false
}

func (p prefixes) sorted() prefixes {
	return slices.SortedFunc(slices.Values(p), func(a, b abbreviation) int { return strings.Compare(a.prefix, b.prefix) })
}

// with is p and one more. It changes p, which nobody else may have.
func (p prefixes) with(prefix, space string) prefixes {
	for i := range p {
		if p[i].prefix == prefix {
			p[i].space = space
			return p
		}
	}
	return append(p, abbreviation{prefix, space})
}

// standardPrefixes are those of EPCIS's own context.
func standardPrefixes() prefixes {
	return prefixes{
		{"gs1", "https://ref.gs1.org/voc/"}, {"cbv", "https://ref.gs1.org/cbv/"}, {"epcis", "https://ref.gs1.org/epcis/"},
		{"cbvmda", "urn:epcglobal:cbv:mda"},
	}
}

// expand gives the URI that a name with a prefix stands for; what has no declared prefix is
// left as it is.
func (p prefixes) expand(s string) string {
	prefix, name, ok := strings.Cut(s, ":")
	if !ok || strings.HasPrefix(name, "//") {
		return s
	}
	if space, ok := p.of(prefix); ok {
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
	if space, known := p.of(prefix); known {
		return space, prefix, name
	}
	if i := strings.LastIndexAny(key, "/#"); i >= 0 {
		return key[:i+1], "", key[i+1:]
	}
	return prefix + ":", "", name
}

// context adds what an @context declares: prefixes, in text or as a term with an @id. What
// else it says is for readers of linked data.
func (r *reader) context(n ref, p prefixes) prefixes {
	switch r.kind(n) {
	case text:
		if !isURI(r.tree.text(n)) {
			r.failf(n, "must be the URI of a context, or prefixes")
		}
		return p
	case object:
	default:
		r.failf(n, "must be a URI, an object, or a list of these")
		return p
	}
	if r.len(n) == 0 {
		return p
	}
	out := append(make(prefixes, 0, len(p)+min(r.len(n), prefixesMax)), p...)
	for key, def := range r.members(n) {
		if r.kind(def) == object {
			def = r.get(def, "@id")
		}
		if def != 0 && r.kind(def) == text && key != "" && key[0] != '@' && !strings.Contains(key, ":") {
			out = out.with(key, p.expand(r.tree.text(def)))
		}
		if len(out) > prefixesMax {
			r.failOursf(n, "declares more than %d prefixes", prefixesMax)
			return p
		}
	}
	return out
}

// contexts is context for a list of them too.
func (r *reader) contexts(n ref, p prefixes) prefixes {
	if r.kind(n) != list {
		return r.context(n, p)
	}
	if r.len(n) > prefixesMax {
		r.failOursf(n, "has more than %d contexts", prefixesMax)
		return p
	}
	for one := range r.elements(n) {
		if r.kind(one) == text {
			for before := range r.elements(n) {
				if before == one {
					break
				}
				if r.kind(before) == text && r.tree.text(before) == r.tree.text(one) {
					r.failf(one, "comes twice")
					break
				}
			}
		}
		p = r.context(one, p)
	}
	return p
}
