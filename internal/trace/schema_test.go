package trace

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dlclark/regexp2"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// lookAhead compiles the schema's patterns, which Go's own engine cannot.
type lookAhead struct{ *regexp2.Regexp }

func (l lookAhead) MatchString(s string) bool {
	ok, err := l.Regexp.MatchString(s)
	return ok && err == nil
}

// officialSchema is GS1's, with its formats asserted.
func officialSchema(t testing.TB) *jsonschema.Schema {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", "gs1", "EPCIS-JSON-Schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	c.UseRegexpEngine(func(s string) (jsonschema.Regexp, error) {
		re, err := regexp2.Compile(s, regexp2.ECMAScript)
		return lookAhead{re}, err
	})
	if err := c.AddResource("epcis.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("epcis.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func bySchema(t testing.TB, s *jsonschema.Schema, raw []byte) error {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	return s.Validate(v)
}

// byUs gives what our reader says: nil, a refusal that the schema must share, or one of
// our own (ours).
func byUs(c *Codec, raw []byte) (refused error, ours bool) {
	d, err := c.ReadJSON(string(raw))
	if err != nil {
		return err, false
	}
	for _, r := range d.Events {
		for _, p := range r.Problems {
			if !p.Ours {
				return fmt.Errorf("%v", r.Problems), false
			}
			refused, ours = fmt.Errorf("%v", r.Problems), true
		}
	}
	return refused, ours
}

// TestAgreesWithSchema: every example is good for both, and of every mutant the reader
// refuses at least what the schema refuses, and says where it goes beyond.
func TestAgreesWithSchema(t *testing.T) {
	t.Parallel()
	s, c := officialSchema(t), NewCodec(UsualLimits())
	rnd := rand.New(rand.NewPCG(1, 2))
	mutants, refused, beyond := 0, 0, 0
	all := examples(t)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		raw := all[name]
		if err := bySchema(t, s, raw); err != nil {
			t.Errorf("%s: the schema refuses it: %v", name, err)
		}
		if err, _ := byUs(c, raw); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for range 200 {
			var doc any
			if err := json.Unmarshal(raw, &doc); err != nil {
				t.Fatal(err)
			}
			what := mutate(rnd, doc)
			mutant, err := json.Marshal(doc)
			if err != nil {
				t.Fatal(err)
			}
			mutants++
			schemaErr := bySchema(t, s, mutant)
			err, ours := byUs(c, mutant)
			switch {
			case schemaErr != nil && err == nil:
				t.Fatalf("%s, %s: only the schema refuses it: %v\n%s", name, what, schemaErr, mutant)
			case schemaErr == nil && err != nil && !ours:
				t.Fatalf("%s, %s: only we refuse it: %v\n%s", name, what, err, mutant)
			case schemaErr != nil:
				refused++
			case ours:
				beyond++
			}
		}
	}
	if refused < mutants/4 || mutants-refused < mutants/10 {
		t.Errorf("of %d mutants %d are refused: they show little", mutants, refused)
	}
	t.Logf("%d mutants: the schema refuses %d, the reader %d more", mutants, refused, beyond)
}

// junk is what a mutant may hold instead.
var junk = []any{
	nil, true, false, 1.0, -0.5, "", "x", "urn:a:b", "https://example.com/x", "ex:y", "2020-01-01T00:00:00Z", "2020-01-01T00:00:00",
	"2020-13-01T00:00:00Z", "shipping", "in_transit", "urn:epcglobal:cbv:bizstep:shipping", "https://ns.gs1.org/cbv/x", "http://gs1.org/voc/x",
	"ADD", "OBSERVE", "DELETE", "+14:00", "+15:00", "KGM", "kgm", "Temperature", "owning_party", "po", "2.0", "2.x", "f0", "://", "a b:c", "%zz:a",
	[]any{}, []any{"urn:a:b"}, []any{"urn:a:b", "urn:a:b"}, []any{1.0}, []any{map[string]any{}}, map[string]any{}, map[string]any{"id": "urn:a:b"},
	map[string]any{"a": 1.0}, map[string]any{"set": []any{"active"}}, map[string]any{"sensorReport": []any{map[string]any{"type": "Temperature"}}},
}

var names = []string{
	"ilmd", "epcList", "childEPCs", "quantityList", "parentID", "action", "type", "id", "bizStep", "readPoint", "sensorElementList", "ex:y", "unknown",
	"persistentDisposition", "inputEPCList", "outputEPCList", "transformationID", "certificationInfo", "errorDeclaration", "recordTime", "uom",
	"value", "exception", "component", "@context", "bizTransactionList", "extension", "https://example.com/a",
}

// mutate changes one place of a document.
func mutate(rnd *rand.Rand, doc any) (what string) {
	type place struct {
		parent any
		key    string
		index  int
	}
	var all []place
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			var keys []string
			for k := range v {
				keys = append(keys, k)
			}
			slices.Sort(keys)
			for _, k := range keys {
				all = append(all, place{v, k, 0})
				walk(v[k])
			}
		case []any:
			for i := range v {
				all = append(all, place{v, "", i})
				walk(v[i])
			}
		}
	}
	walk(doc)
	p := all[rnd.IntN(len(all))]
	with := junk[rnd.IntN(len(junk))]
	m, isObject := p.parent.(map[string]any)
	if !isObject {
		p.parent.([]any)[p.index] = with
		return fmt.Sprintf("element %d is %v", p.index, with)
	}
	switch rnd.IntN(4) {
	case 0:
		delete(m, p.key)
		return p.key + " dropped"
	case 1:
		name := names[rnd.IntN(len(names))]
		m[name] = with
		return fmt.Sprintf("%s added: %v", name, with)
	case 2:
		if l, ok := m[p.key].([]any); ok && len(l) > 0 {
			m[p.key] = append(slices.Clone(l), l[0])
			return p.key + " has its first element twice"
		}
		if s, ok := m[p.key].(string); ok && s != "" {
			m[p.key] = strings.ToUpper(s[:1]) + s[1:] + "!"
			return p.key + " misspelt"
		}
	}
	m[p.key] = with
	return fmt.Sprintf("%s is %v", p.key, with)
}

// TestExamplesComeBackEqual writes every event of the examples, reads it again and holds
// it to its hash, as an event alone and in the answer to a query; the schema takes both.
func TestExamplesComeBackEqual(t *testing.T) {
	t.Parallel()
	s, c := officialSchema(t), NewCodec(UsualLimits())
	for name, raw := range examples(t) {
		d, err := c.ReadJSON(string(raw))
		events := eventsOf(t, d, err)
		var hashes []Hash
		for i, e := range events {
			hashes = append(hashes, c.Hash(e))
			alone := c.AppendEvent(nil, e, Form{})
			if err := bySchema(t, s, alone); err != nil {
				t.Errorf("%s, event %d: the schema refuses what was written: %v\n%s", name, i, err, alone)
			}
			again, err := c.ReadEvent(string(alone))
			if err != nil {
				t.Fatalf("%s, event %d: %v\n%s", name, i, err, alone)
			}
			if h := c.Hash(again); h != hashes[i] {
				t.Errorf("%s, event %d:\n%s\nbecame\n%s", name, i, prehash(c, e), prehash(c, again))
			}
			if again.ID != e.ID || (again.Declared == nil) != (e.Declared == nil) || len(again.Certified) != len(e.Certified) {
				t.Errorf("%s, event %d: what is not hashed was lost", name, i)
			}
		}
		var written bytes.Buffer
		write, err := c.QueryDocument(EntriesOf(entriesOf(events)), Around{Query: "SimpleEventQuery", Created: events[0].Time})
		if err == nil {
			err = write(&written)
		}
		if err != nil {
			t.Fatal(err)
		}
		answer := written.Bytes()
		if err := bySchema(t, s, answer); err != nil {
			t.Errorf("%s: the schema refuses the answer: %v\n%s", name, err, answer)
		}
		back, err := c.ReadJSON(string(answer))
		for i, e := range eventsOf(t, back, err) {
			if c.Hash(e) != hashes[i] {
				t.Errorf("%s, event %d of the answer differs", name, i)
			}
		}
	}
}
