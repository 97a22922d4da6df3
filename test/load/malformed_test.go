package load

import (
	"bytes"
	"fmt"
	"net/http"
	"testing"
)

// TestMalformed answers each form as it should be, then as it should not.
func TestMalformed(t *testing.T) {
	t.Parallel()
	s, _ := scanOf(t, 20)
	s.mix = Mix{Malformed: 1}
	answer := func(f *form) *Answer {
		if f.says == unknown {
			return &Answer{Status: f.status, Body: []byte(refusalBody)}
		}
		return &Answer{Status: f.status, Body: fmt.Appendf(nil, `{"code":%d,"error":%q,"data":null}`, f.status, f.says)}
	}
	met := make([]int, len(s.forms))
	var q Query
	for range 200 * len(s.forms) {
		if !s.Next(&q) || q.Kind != Malformed || bytes.ContainsAny(q.Path, "#@") {
			t.Fatalf("asked %s %.100s", q.Kind, q.Path)
		}
		met[q.item]++
		f := &s.forms[q.item]
		if err := s.Judge(&q, answer(f)); err != nil {
			t.Fatalf("%.100s: %v", f.path, err)
		}
		for name, wrong := range map[string]*Answer{
			"200":           {Status: http.StatusOK, Body: answer(f).Body},
			"500":           {Status: http.StatusInternalServerError, Body: answer(f).Body},
			"a redirection": {Status: http.StatusMovedPermanently, Body: answer(f).Body},
			"another error": {Status: f.status, Body: []byte(`{"error":"scan.other"}`)},
			"no JSON":       {Status: f.status, Body: []byte(f.says)},
		} {
			if f.says == "" && f.status == wrong.Status {
				continue // net/http's own words are not ours to hold
			}
			if err := s.Judge(&q, wrong); err == nil {
				t.Fatalf("%.100s: %s passed", f.path, name)
			}
		}
	}
	for i, n := range met {
		if n == 0 {
			t.Errorf("%.100s was never asked for", s.forms[i].path)
		}
	}
}

// TestMalformedOverHTTP2: what such a client cannot send is left out.
func TestMalformedOverHTTP2(t *testing.T) {
	t.Parallel()
	one, err := NewScan(Codes{1}, ScanOptions{Mix: Mix{Malformed: 1}, Expect: []string{"authentic"}, HTTP2: true})
	if err != nil {
		t.Fatal(err)
	}
	all := forms()
	if len(one.forms) == 0 || len(one.forms) >= len(all) {
		t.Errorf("%d of %d forms", len(one.forms), len(all))
	}
	for _, f := range one.forms {
		if _, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost"+string(one.appendForm(nil, &f)), http.NoBody); err != nil {
			t.Errorf("%.100s: %v", f.path, err)
		}
	}
}

// TestRefusedByTheServerItself: what net/http refuses it refuses without a length and
// with the end of the connection, and that is an answer.
func TestRefusedByTheServerItself(t *testing.T) {
	t.Parallel()
	s, _ := scanOf(t, 20)
	s.mix = Mix{Malformed: 1}
	all := s.forms
	s.forms = nil
	for _, f := range all {
		if f.bare {
			s.forms = append(s.forms, f)
		}
	}
	h := http.NewServeMux()
	h.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	url := serverWith(t, h, 16<<10)
	r := runAgainst(t, url, false, &limited{Work: s, n: 100}, Steady(0, 4, 0))[0]
	if r.Answers() != 100 || r.Wrong() != 0 || r.Unanswered() != 0 {
		t.Errorf("%d answers, %d wrong, %d unanswered: %q", r.Answers(), r.Wrong(), r.Unanswered(), r.First())
	}
}

// TestRepeatWithoutFresh: when nothing is ever fresh, a repeat may be any code.
func TestRepeatWithoutFresh(t *testing.T) {
	t.Parallel()
	for _, pick := range []Pick{Uniform, Zipf} {
		codes, err := NewCodes([]uint64{1, 2, 3, 4, 5, 6, 7, 8})
		if err != nil {
			t.Fatal(err)
		}
		s, err := NewScan(codes, ScanOptions{Mix: Mix{Repeat: 1}, Expect: []string{"authentic"}, Pick: pick})
		if err != nil {
			t.Fatal(err)
		}
		seen := [8]int{}
		var q Query
		for range 4000 {
			s.Next(&q)
			seen[q.item]++
		}
		if even := seen[0] < 2*seen[7]; even != (pick == Uniform) || seen[7] == 0 || s.RanOut() {
			t.Errorf("pick %d: %v, ran out %v", pick, seen, s.RanOut())
		}
	}
}
