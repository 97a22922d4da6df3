package batchhttp_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestStateOfRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, product := w.brand("Acme")
	b := w.batch(product, "B", 5000, nil)
	change := func(to string, more object) *reply {
		return w.post("/api/v1/codes/state", lay(object{"select": object{"batch_id": b}, "to": to, "reason": "because"}, more))
	}
	change("active", object{"select": object{"batch_id": b, "from_no": 1, "to_no": 4000}}).ok().
		has(`"items":4000`, `"unchanged":0`, `"refused":[]`, `"refused_count":0`, `"change_id":"chg_`)
	w.get("/api/v1/batches/"+b).ok().has(`"counts":{"active":4000,"encoded":1000}`, `"state":"active"`)
	change("active", object{"select": object{"batch_id": b, "from_no": 3001, "to_no": 5000}}).ok().has(`"items":1000`, `"unchanged":1000`)
	change("retail_sold", object{"select": object{"batch_id": b, "from_no": 7, "to_no": 8}, "at": "2026-03-01T16:00:00+08:00", "place": "北京"}).ok()
	change("in_transit", object{"strict": true}).fails(409, "state.refused")
	w.get("/api/v1/batches/"+b).ok().has(`"active":4998`, `"retail_sold":2`)
	r := change("in_transit", nil).ok().has(`"items":4998`, `"refused_count":2`).lacks(`"code":"`)
	r.has(`"refused":[{"batch_id":"` + b + `","from_no":7,"to_no":8,"state":"retail_sold"}]`)
	r.lacks("serial", `"from_no":0`)

	undo := change("", object{"to": nil, "reverts": r.text("change_id")}).ok().has(`"items":4998`)
	w.get("/api/v1/batches/" + b).ok().has(`"counts":{"active":4998,"retail_sold":2}`)
	w.post("/api/v1/codes/state", object{"reverts": undo.text("change_id"), "reason": "undo the undo"}).ok()
	w.get("/api/v1/batches/" + b).ok().has(`"in_transit":4998`)
	if got, want := w.events(), []string{
		"code.generated batch", "code.state_changed active", "code.state_changed active", "code.state_changed retail_sold",
		"code.state_changed in_transit", "code.state_changed active", "code.state_changed in_transit",
	}; !slices.Equal(got, want) {
		t.Errorf("events %q, want %q", got, want)
	}
}

func TestStateOfCodes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, product := w.brand("Acme")
	codes := w.codes(w.batch(product, "B", 20, nil), 10)
	more := w.codes(w.batch(product, "C", 20, nil), 3)
	w.state("active", codes[0], codes[1], codes[1], more[0]).ok().has(`"items":3`, `"refused":[]`)
	w.state("void", codes[0]).ok()
	const stranger = "000000000000000000"
	r := w.state("in_transit", codes[0], codes[1], codes[2], stranger, more[0]).ok().has(`"items":2`, `"refused_count":3`)
	r.has(`{"code":"`+codes[0]+`","state":"void"}`, `{"code":"`+codes[2]+`","state":"encoded"}`, `{"code":"`+stranger+`","state":"unknown"}`)
	r.lacks("from_no", "batch_id", "disposition(")
	w.state("in_transit", stranger).ok().has(`"change_id":""`, `"items":0`, `"refused":[{"code":"`+stranger+`","state":"unknown"}]`)
	w.post("/api/v1/codes/state", object{"select": object{"codes": []string{stranger, codes[1]}}, "to": "active", "reason": "r", "strict": true}).fails(409, "state.refused")
	w.post("/api/v1/codes/state", object{"select": object{"codes": []string{stranger}}, "to": "active", "reason": "r", "strict": true}).fails(409, "state.refused")
	w.get("/api/v1/codes/"+codes[1]).ok().has(`"state":"in_transit"`, `"reason":"because"`)
}

func TestStateRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, mine := w.brand("Mine")
	_, others := w.brand("Others")
	b, o := w.batch(mine, "B", 20, nil), w.batch(others, "B", 20, nil)
	codes, foreign := w.codes(b, 2), w.codes(o, 2)
	change := w.state("active", codes[0]).ok().text("change_id")
	quoted := `"` + strings.Join(codes, `","`) + `"`
	for _, bad := range []struct {
		status           int
		code, body, part string
	}{
		{400, "select.empty", `{"to":"active","reason":"r"}`, `"field":"select"`},
		{400, "select.empty", `{"select":{"codes":[]},"to":"active","reason":"r"}`, ""},
		{400, "select.two", `{"select":{"batch_id":"` + b + `","codes":[` + quoted + `]},"to":"active","reason":"r"}`, ""},
		{400, "select.no_batch", `{"select":{"codes":[` + quoted + `],"from_no":1},"to":"active","reason":"r"}`, ""},
		{400, "select.bad_range", `{"select":{"batch_id":"` + b + `","from_no":0},"to":"active","reason":"r"}`, `"field":"select.from_no"`},
		{400, "select.bad_range", `{"select":{"batch_id":"` + b + `","to_no":21},"to":"active","reason":"r"}`, ""},
		{400, "select.bad_range", `{"select":{"batch_id":"` + b + `","from_no":5,"to_no":4},"to":"active","reason":"r"}`, ""},
		{400, "select.no_containers", `{"select":{"container":"urn:epc:id:sscc:1"},"to":"active","reason":"r"}`, `"field":"select.container"`},
		{400, "select.two_brands", `{"select":{"codes":["` + codes[0] + `","` + foreign[0] + `"]},"to":"active","reason":"r"}`, "entry 2"},
		{400, "code.malformed", `{"select":{"codes":["123"]},"to":"active","reason":"r"}`, "entry 1"},
		{400, "input.bad_type", `{"select":{"codes":[123456789012345678]},"to":"active","reason":"r"}`, "select.codes"},
		{400, "input.bad_type", `{"select":[],"to":"active","reason":"r"}`, ""},
		{400, "input.unknown_field", `{"select":{"serial":5},"to":"active","reason":"r"}`, `"field":"serial"`},
		{400, "state.unknown", `{"select":{"batch_id":"` + b + `"},"to":"lost","reason":"r"}`, `"field":"to"`},
		{400, "state.unknown", `{"select":{"batch_id":"` + b + `"},"reason":"r"}`, ""},
		{400, "input.empty", `{"select":{"batch_id":"` + b + `"},"to":"active"}`, `"field":"reason"`},
		{400, "input.too_long", `{"select":{"batch_id":"` + b + `"},"to":"active","reason":"r","place":"` + strings.Repeat("p", 257) + `"}`, `"field":"place"`},
		{400, "input.bad_time", `{"select":{"batch_id":"` + b + `"},"to":"active","reason":"r","at":"now"}`, `"field":"at"`},
		{404, "batch.unknown", `{"select":{"batch_id":"bat_1"},"to":"active","reason":"r"}`, ""},
		{404, "change.unknown", `{"reverts":"chg_1","reason":"r"}`, ""},
		{404, "change.unknown", `{"reverts":"chg_00000000000000000000000000","reason":"r"}`, ""},
		{404, "change.unknown", `{"select":{"batch_id":"` + o + `"},"reverts":"` + change + `","reason":"r"}`, ""},
		{404, "change.unknown", `{"select":{"codes":["` + foreign[0] + `"]},"reverts":"` + change + `","reason":"r"}`, ""},
	} {
		w.post("/api/v1/codes/state", bad.body).fails(bad.status, bad.code).has(bad.part)
	}
	if got := len(w.events()); got != 3 {
		t.Errorf("%d events after refusals, want 3", got)
	}
	w.get("/api/v1/batches/" + o).ok().has(`"counts":{"encoded":20}`)
}

func TestStateOfManyCodes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, product := w.brand("Acme")
	known := w.codes(w.batch(product, "B", 1, nil), 1)[0]
	codes := make([]string, 100_000)
	for i := range codes {
		codes[i] = fmt.Sprintf("%018d", i)
	}
	codes[0] = known
	r := w.state("active", codes...).ok().has(`"items":1`, `"refused_count":99999`)
	if got := len(r.list("refused")); got != 99_999 {
		t.Errorf("%d refused are listed", got)
	}
	w.state("active", slices.Concat(codes, []string{known})...).fails(400, "select.too_many")
	w.state("active", make([]string, 250_000)...).fails(400, "select.too_many")
	raw, err := json.Marshal(strings.Repeat("1", 4<<20))
	if err != nil {
		t.Fatal(err)
	}
	w.post("/api/v1/codes/state", `{"reason":`+string(raw)+`}`).fails(413, "input.too_large")
}
