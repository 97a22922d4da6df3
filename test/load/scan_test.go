package load

import (
	"archive/zip"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// fake answers as a server should, and spoils what a test asks it to.
type fake struct {
	mu     sync.Mutex
	counts map[string]int
	ours   map[string]bool
	// spoil may change an answer; n counts the answers of one kind of request.
	spoil func(kind Kind, n int64, status int, body string) (int, string)
	kinds [kinds]atomic.Int64
}

const refusalBody = `{"code":404,"message":"this code is not known","error":"code.unknown","data":null}`

func (f *fake) answer(path string) (kind Kind, status int, body string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	code, stale := strings.TrimPrefix(path, "/"), true
	if rest, ok := strings.CutPrefix(path, "/api/v1/codes/"); ok {
		code, stale = strings.TrimSuffix(rest, "/verify"), false
	}
	code, _, _ = strings.Cut(code, "/")
	if !f.ours[code] {
		return Forged, 404, refusalBody
	}
	f.counts[code]++
	n := f.counts[code]
	kind, status, verdict, head := Fresh, 200, "authentic", `"message":"success"`
	switch {
	case stale:
		kind, status, verdict, head = Stale, 410, "superseded", `"message":"this code is superseded","error":"code.superseded"`
	case n > 1:
		kind, verdict = Repeat, "authentic_again"
	}
	return kind, status, fmt.Sprintf(`{"code":%d,%s,"data":{"valid":%v,"verdict":%q,"reasons":[],"code":%q,"version":1,"scan_count":%d,"counted":true}}`,
		status, head, status == 200, verdict, code, n)
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	kind, status, body := f.answer(r.URL.Path)
	if f.spoil != nil {
		status, body = f.spoil(kind, f.kinds[kind].Add(1), status, body)
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(body + "\n"))
}

// scanOf makes the work over n codes, of which the last have stale tokens.
func scanOf(t *testing.T, n int) (*Scan, *fake) {
	t.Helper()
	codes := make([]uint64, n)
	f := &fake{counts: map[string]int{}, ours: map[string]bool{}}
	for i := range codes {
		codes[i] = uint64(i+1) * 7_777_777_777_777
		f.ours[string(appendCode(nil, codes[i]))] = true
	}
	sorted, err := NewCodes(codes)
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewScan(sorted, ScanOptions{Mix: Mix{40, 40, 10, 10, 0}, Expect: []string{"authentic", "authentic_again"}})
	if err != nil {
		t.Fatal(err)
	}
	s.tokens = []string{"0123456789ABCDEFGH", "HGFEDCBA9876543210"}
	return s, f
}

// TestChecker plants wrong answers, a few among many right ones, and wants each
// counted, and no other.
func TestChecker(t *testing.T) {
	t.Parallel()
	swap := func(kind Kind, from, to string) func(Kind, int64, int, string) (int, string) {
		return func(k Kind, n int64, status int, body string) (int, string) {
			if k == kind && n%20 == 10 {
				if !strings.Contains(body, from) {
					panic("nothing to spoil in " + body)
				}
				return status, strings.Replace(body, from, to, 1)
			}
			return status, body
		}
	}
	as := func(kind Kind, spoilt int) func(Kind, int64, int, string) (int, string) {
		return func(k Kind, n int64, status int, body string) (int, string) {
			if k == kind && n%20 == 10 {
				return spoilt, body
			}
			return status, body
		}
	}
	for name, tt := range map[string]struct {
		kind  Kind
		spoil func(Kind, int64, int, string) (int, string)
		says  string
	}{
		"count goes down":          {Repeat, nil, "was answered before"},
		"count is missing":         {Repeat, swap(Repeat, `"scan_count"`, `"scans"`), "scan_count is missing"},
		"count is no number":       {Fresh, swap(Fresh, `"scan_count":1`, `"scan_count":null`), "scan_count is missing"},
		"not counted":              {Fresh, swap(Fresh, `"counted":true`, `"counted":false`), "not counted"},
		"again, but called first":  {Repeat, swap(Repeat, `"authentic_again"`, `"authentic"`), "contradicts"},
		"200 for forged":           {Forged, as(Forged, 200), "must be refused"},
		"another refusal":          {Forged, swap(Forged, "is not known", "is unknown to us"), "refusals differ"},
		"refusal of another error": {Forged, swap(Forged, "code.unknown", "route.unknown"), "must be refused"},
		"200 for stale":            {Stale, as(Stale, 200), "want 410"},
		"stale, but recalled":      {Stale, swap(Stale, `"superseded"`, `"recalled"`), "unexpected verdict"},
		"stale, but valid":         {Stale, swap(Stale, `"valid":false`, `"valid":true`), "contradicts"},
		"500":                      {Repeat, as(Repeat, 500), "want 200"},
		"404 for ours":             {Fresh, as(Fresh, 404), "want 200"},
		"unexpected verdict":       {Fresh, swap(Fresh, `"authentic"`, `"suspicious"`), "unexpected verdict"},
		"not valid":                {Fresh, swap(Fresh, `"valid":true`, `"valid":false`), "contradicts"},
		"another code":             {Repeat, swap(Repeat, `"code":"0`, `"code":"1`), "want the code"},
		"cut off":                  {Fresh, swap(Fresh, `"counted":true}}`, `"counted":true}`), "not JSON"},
		"no JSON":                  {Forged, swap(Forged, `{"code"`, `"code"`), "must be refused"},
		"all right":                {Fresh, as(Fresh, 200), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, f := scanOf(t, 402)
			f.spoil = tt.spoil
			if name == "count goes down" {
				f.spoil = swap(Repeat, `"scan_count":`, `"scan_count":0, "was":`)
			}
			r := runAgainst(t, server(t, f.ServeHTTP), false, s, Steady(400*time.Millisecond, 4, 4000))[0]
			want := int64(0)
			if tt.says != "" {
				want = (f.kinds[tt.kind].Load() + 10) / 20
			}
			// A spoilt first refusal is what the others are compared with; n = 10 is not the first.
			if r.Wrong() != want || r.Unanswered() != 0 || want == 0 != (tt.says == "") {
				t.Errorf("%d wrong, want %d, %d unanswered: %q", r.Wrong(), want, r.Unanswered(), r.First())
			}
			if first := r.First(); tt.says != "" && (len(first) == 0 || !strings.Contains(first[0], tt.says)) {
				t.Errorf("want %q in %q", tt.says, first)
			}
			met, err := Summary(t.Output(), []*Result{r}, Goals{})
			if met != (tt.says == "") || err != nil {
				t.Errorf("met = %v, %v", met, err)
			}
		})
	}
}

// TestCountsTogether: answers of requests that overlap may come in any order; one
// that was asked for after another had come must be above it.
func TestCountsTogether(t *testing.T) {
	t.Parallel()
	s, _ := scanOf(t, 3)
	s.mix = Mix{Repeat: 1} // of the one code that has no stale token
	answer := func(n int) *Answer {
		verdict := "authentic_again"
		return &Answer{Status: 200, Body: fmt.Appendf(nil, `{"data":{"valid":true,"verdict":%q,"code":"%018d","scan_count":%d,"counted":true}}`, verdict, s.codes[0], n)}
	}
	var first, second, third Query
	s.Next(&first)
	s.Next(&second)
	if err := s.Judge(&second, answer(6)); err != nil {
		t.Error(err)
	}
	if err := s.Judge(&first, answer(5)); err != nil {
		t.Errorf("asked before 6 was answered: %v", err)
	}
	s.Next(&third)
	for _, n := range []int{5, 6} {
		if err := s.Judge(&third, answer(n)); err == nil {
			t.Errorf("count %d passed though 6 was answered before it was asked", n)
		}
	}
	if err := s.Judge(&third, answer(7)); err != nil {
		t.Error(err)
	}
}

func TestFreshRunsOut(t *testing.T) {
	t.Parallel()
	s, f := scanOf(t, 12)
	s.mix = Mix{Fresh: 1}
	r := runAgainst(t, server(t, f.ServeHTTP), true, s, Steady(100*time.Millisecond, 2, 500))[0]
	if !s.RanOut() || r.Latency[Fresh].Count() != 10 || r.Latency[Repeat].Count() != 40 || r.Wrong() != 0 {
		t.Errorf("ran out %v, %d fresh, %d repeats, %d wrong: %q", s.RanOut(), r.Latency[Fresh].Count(), r.Latency[Repeat].Count(), r.Wrong(), r.First())
	}
}

func TestReadCodes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const text = "no,code,url\n1,300000000000000001,http://x/1\n2,000000000000000002,http://x/2\n3,300000000000000001,http://x/3\n"
	plain, packed := filepath.Join(dir, "a.csv"), filepath.Join(dir, "a.zip")
	write := func(name, text string) string {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	write(plain, text)
	f, err := os.Create(packed)
	if err != nil {
		t.Fatal(err)
	}
	z := zip.NewWriter(f)
	w, err := z.Create("codes.csv")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = w.Write([]byte(text))
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	f.Close()
	for _, file := range []string{plain, packed} {
		if got, err := ReadCodes(file); err != nil || !slices.Equal(got, Codes{2, 300000000000000001}) {
			t.Errorf("%s: %v, %v", file, got, err)
		}
	}
	for i, bad := range []string{"", "no,code,url\n", "no,serial\n1,2\n", "code\n12\n", "code\n+00000000000000001\n", "code\n1234567890123456789\n", "PK\x03\x04 torn"} {
		if got, err := ReadCodes(write(filepath.Join(dir, fmt.Sprint(i)), bad)); err == nil {
			t.Errorf("%q was read as %v", bad, got)
		}
	}
	for range 1000 {
		if _, ours := slices.BinarySearch(Codes{2, 300000000000000001}, Codes{2, 300000000000000001}.forge()); ours {
			t.Fatal("forged one of ours")
		}
	}
}
