package source

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

func row() Row {
	return Row{Code: ours, Stage: "production", Source: MES, Time: start(), Details: map[string]any{"raw_materials": "高粱"}}
}

func TestAdd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	add := func(brand ids.BrandID, rows ...Row) error {
		_, _, err := w.Add(t.Context(), ids.Request{}, "alice", brand, rows)
		return err
	}
	if err := add(1, row()); err != nil {
		t.Error(err)
	}
	batch := row()
	batch.Code, batch.BatchNo, batch.Product = "", "B-1", 7
	if err := add(1, batch); err != nil {
		t.Error(err)
	}
	for what, change := range map[string]func(r *Row){
		"neither":          func(r *Row) { r.Code = "" },
		"both":             func(r *Row) { r.BatchNo = "B-1" },
		"product of code":  func(r *Row) { r.Product = 7 },
		"nobody's":         func(r *Row) { r.Code = "999999999999999999" },
		"no code":          func(r *Row) { r.Code = "x\x00" },
		"source":           func(r *Row) { r.Source = "CRM" },
		"batch_no":         func(r *Row) { r.Code, r.BatchNo = "", "a\x00" },
		"long batch_no":    func(r *Row) { r.Code, r.BatchNo = "", strings.Repeat("x", BatchNoMax+1) },
		"negative product": func(r *Row) { r.Code, r.BatchNo, r.Product = "", "b", -1 },
	} {
		bad := row()
		change(&bad)
		err := add(1, row(), bad)
		f, _ := fault.From(err)
		if !errors.Is(err, ErrBadRows) || !slices.ContainsFunc(f.Details, func(d fault.Detail) bool { return strings.HasPrefix(d.Field, "rows[1].") }) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := add(2, row()); !errors.Is(err, ErrBadRows) {
		t.Errorf("a code of another brand: %v", err)
	}
	if err := add(9, row()); fault.KindOf(err) != fault.NotFound {
		t.Errorf("no brand: %v", err)
	}
	if err := errors.Join(add(1), add(1, slices.Repeat([]Row{row()}, RowsMax+1)...)); !errors.Is(err, ErrBadRows) {
		t.Errorf("none and too many: %v", err)
	}
	if len(w.pushes) != 2 {
		t.Errorf("%d pushes were kept, want 2", len(w.pushes))
	}
}

// TestSigned: only who has the secret pushes, now, what it signed.
func TestSigned(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.has(WMS)
	id := w.systems[0].ID
	secret, body := w.Secrets.push(id), []byte(`{"rows":[]}`)
	stamp := func(after time.Duration) string { return strconv.FormatInt(start().Add(after).Unix(), 10) }
	good := Signed{"msg_1", stamp(0), secret.Sign("msg_1", stamp(0), body)}
	sys, first, err := w.Signed(t.Context(), id, good, body)
	if err != nil || sys.ID != id || first.IsZero() {
		t.Fatal(sys, first, err)
	}
	again := Signed{"msg_1", stamp(time.Minute), "v1,x " + secret.Sign("msg_1", stamp(time.Minute), body)}
	if _, r, err := w.Signed(t.Context(), id, again, body); err != nil || r != first {
		t.Errorf("the same push again is another request: %v", err)
	}
	other := w.Secrets.push(SystemID(ids.New("src")))
	for what, g := range map[string]Signed{
		"no signature":     {"msg_1", stamp(0), ""},
		"another's secret": {"msg_1", stamp(0), other.Sign("msg_1", stamp(0), body)},
		"another id":       {"msg_2", stamp(0), good.Signature},
		"another time":     {"msg_1", stamp(time.Second), good.Signature},
		"old":              {"msg_1", stamp(-time.Hour), secret.Sign("msg_1", stamp(-time.Hour), body)},
		"future":           {"msg_1", stamp(time.Hour), secret.Sign("msg_1", stamp(time.Hour), body)},
		"no time":          {"msg_1", "", secret.Sign("msg_1", "", body)},
		"no id":            {"", stamp(0), secret.Sign("", stamp(0), body)},
		"id with a dot":    {"a.b", stamp(0), secret.Sign("a.b", stamp(0), body)},
		"long id":          {strings.Repeat("x", 256), stamp(0), secret.Sign(strings.Repeat("x", 256), stamp(0), body)},
		"sixth signature":  {"msg_1", stamp(0), "v1,a v1,b v1,c v1,d v1,e " + good.Signature},
	} {
		if _, _, err := w.Signed(t.Context(), id, g, body); !errors.Is(err, ErrSignature) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, _, err := w.Signed(t.Context(), id, good, []byte(`{"rows":[1]}`)); !errors.Is(err, ErrSignature) {
		t.Errorf("another body: %v", err)
	}
	gone := SystemID(ids.New("src"))
	if _, _, err := w.Signed(t.Context(), gone, Signed{"m", stamp(0), w.Secrets.push(gone).Sign("m", stamp(0), body)}, body); !errors.Is(err, ErrSignature) {
		t.Errorf("a source that is not there: %v", err)
	}
	w.systems[0].Enabled = false
	if _, _, err := w.Signed(t.Context(), id, good, body); !errors.Is(err, ErrSignature) {
		t.Errorf("a source that is switched off: %v", err)
	}
}

// TestASourcePushesForItsBrand and as what it is.
func TestASourcePushesForItsBrand(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.has(WMS)
	r := row()
	if _, _, err := w.AddSigned(t.Context(), &w.systems[0], ids.Request{}, 0, []Row{r}); err != nil || w.pushes[0].Rows[0].Source != WMS || w.pushes[0].Brand != 1 {
		t.Errorf("%v, kept %+v", err, w.pushes)
	}
	if _, _, err := w.AddSigned(t.Context(), &w.systems[0], ids.Request{}, 2, []Row{r}); fault.KindOf(err) != fault.NotFound {
		t.Errorf("for another brand: %v", err)
	}
	w.systems[0].Brand = 0
	if _, _, err := w.AddSigned(t.Context(), &w.systems[0], ids.Request{}, 1, []Row{r}); err != nil {
		t.Errorf("a source of all brands: %v", err)
	}
}

func TestURL(t *testing.T) {
	t.Parallel()
	for address, want := range map[string][2]bool{ // without private, with it
		"https://mes.example/ask?x=1": {true, true}, "grpcs://mes.example:443": {true, true}, "https://93.184.216.34/": {true, true},
		"http://mes.example/": {false, true}, "grpc://10.0.0.1:9000": {false, true}, "https://127.0.0.1/": {false, true}, "https://localhost/": {false, true},
		"https://LOCALHOST./": {false, true}, "https://[::1]/": {false, true}, "https://192.168.0.1/": {false, true}, "https://a.localhost/": {false, true},
		"https://[::ffff:10.0.0.1]/": {false, true}, "https://169.254.169.254/": {false, true}, // the last is refused when it is asked
		"": {}, "https://": {}, "file:///etc/passwd": {}, "gopher://x/": {}, "https://u:p@mes.example/": {}, "https://mes.example/#x": {}, "mes.example": {},
		"grpcs://mes.example": {}, "grpcs://mes.example:1/path": {}, "https:" + strings.Repeat("x", urlBytesMax): {}, "https:mes.example": {},
	} {
		for n, private := range []bool{false, true} {
			if err := checkURL(address, private); (err == nil) != want[n] {
				t.Errorf("%s, private %v: %v", address, private, err)
			}
		}
	}
}

func TestTokensAreSealed(t *testing.T) {
	t.Parallel()
	s := Secrets{Seal: [32]byte{1}}
	sys := System{ID: "src_a"}
	sys.Token = s.seal(sys.ID, "sesame")
	if strings.Contains(string(sys.Token), "sesame") {
		t.Error("the token is stored as it is")
	}
	if plain, err := s.open(&sys); err != nil || plain != "sesame" {
		t.Error(plain, err)
	}
	sys.ID = "src_b"
	if plain, err := s.open(&sys); err == nil {
		t.Errorf("another source opens it: %q", plain)
	}
}
