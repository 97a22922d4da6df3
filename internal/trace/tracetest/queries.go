package tracetest

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/trace"
)

// queries asks with every parameter, for events that it takes and events that it does not.
func queries(t *testing.T, w World) {
	s := Service(w.Open())
	const sscc = "urn:epc:id:sscc:4012345.0000000111"
	events := map[string]map[string]any{
		"object": Event(map[string]any{
			"eventTime": "2026-02-01T10:00:00Z", "action": "ADD", "bizStep": "commissioning", "disposition": "active",
			"readPoint": map[string]any{"id": "urn:epc:id:sgln:4012345.00011.987", "ex:door": "7"}, "bizLocation": map[string]any{"id": "urn:epc:id:sgln:4012345.00011.0"},
			"epcList": []string{EPC(1, 1), EPC(1, 2)}, "ilmd": map[string]any{"ex:lot": "L1", "ex:inner": map[string]any{"ex:grade": "4.50"}},
			"quantityList":          []any{map[string]any{"epcClass": "urn:epc:class:lgtin:4012345.011111.L1", "quantity": 12.5, "uom": "KGM"}},
			"persistentDisposition": map[string]any{"set": []string{"completeness_verified"}, "unset": []string{"completeness_inferred"}},
			"bizTransactionList":    []any{map[string]any{"type": "po", "bizTransaction": "urn:epc:id:gdti:4012345.11111.123"}},
			"sourceList":            []any{map[string]any{"type": "owning_party", "source": "urn:epc:id:pgln:4012345.00000"}},
			"destinationList":       []any{map[string]any{"type": "location", "destination": "urn:epc:id:sgln:0614141.00777.0"}},
			"ex:run":                5, "eventID": "urn:uuid:374d95fc-9457-4a51-bd6a-0bba133845a8",
		}),
		"packing": Event(map[string]any{
			"type": "AggregationEvent", "eventTime": "2026-02-02T10:00:00Z", "action": "ADD", "bizStep": "packing", "epcList": nil,
			"parentID": sscc, "childEPCs": []string{URN(1, 1), "urn:epc:id:sgtin:4012345.022222.17"},
			"readPoint": map[string]any{"id": "urn:epc:id:sgln:4012345.00011.0"},
		}),
		"making": Event(map[string]any{
			"type": "TransformationEvent", "eventTime": "2026-02-03T10:00:00Z", "action": nil, "bizStep": "creating_class_instance", "epcList": nil,
			"inputEPCList": []string{EPC(1, 2)}, "outputEPCList": []string{EPC(1, 9)}, "transformationID": "urn:epc:id:gdti:4012345.55555.1234",
			"outputQuantityList": []any{map[string]any{"epcClass": "urn:epc:class:lgtin:4012345.033333.M", "quantity": 3}},
		}),
		"sensing": Event(map[string]any{
			"eventTime": "2026-02-04T10:00:00Z", "bizStep": "sensor_reporting", "epcList": []string{sscc},
			"sensorElementList": []any{map[string]any{
				"sensorMetadata": map[string]any{"startTime": "2026-02-04T09:00:00Z", "endTime": "2026-02-04T10:00:00Z",
					"deviceID": "urn:epc:id:giai:4012345.D1", "bizRules": "https://example.com/rules", "dataProcessingMethod": "https://example.com/method"},
				"sensorReport": []any{
					map[string]any{"type": "Temperature", "value": 4.5, "minValue": 2, "maxValue": 7.25, "meanValue": 4, "sDev": 0.5, "uom": "CEL",
						"percRank": 50, "percValue": 4.25, "time": "2026-02-04T09:30:00Z"},
					map[string]any{"type": "ex:Light", "stringValue": "dim", "booleanValue": true, "hexBinaryValue": "f0", "uriValue": "https://example.com/u",
						"microorganism": "https://example.com/m", "chemicalSubstance": "https://example.com/c"},
				},
			}},
		}),
		"declared": Event(map[string]any{
			"eventTime": "2026-02-05T10:00:00Z", "bizStep": "storing", "epcList": []string{}, "action": "DELETE",
			"errorDeclaration": map[string]any{"declarationTime": "2026-02-06T00:00:00Z", "reason": "did_not_occur", "correctiveEventIDs": []string{"urn:x:y"}, "ex:why": "typo"},
		}),
	}
	hashes := map[trace.Hash]string{}
	for name, e := range events {
		capture(t, s, trace.CaptureSpec{Brand: 1}, Document(e))
		for _, back := range asked(t, s, 1, nil) {
			if h := s.Hash(back); hashes[h] == "" {
				hashes[h] = name
			}
		}
	}
	for _, c := range questions(sscc) {
		var got []string
		for _, e := range asked(t, s, 1, c.params) {
			got = append(got, hashes[s.Hash(e)])
		}
		if slices.Sort(got); !slices.Equal(got, c.want) {
			t.Errorf("%v: %v, want %v", c.params, got, c.want)
		}
	}
	for name, params := range map[string]trace.Parameters{
		"unknown": {"EQ_colour": {"red"}}, "no time": {"GE_eventTime": {"yesterday"}}, "no number": {"GT_quantity": {"many"}},
		"both counts": {"orderBy": {"eventTime"}, "eventCountLimit": {"1"}, "maxEventCount": {"1"}}, "count without order": {"eventCountLimit": {"1"}},
		"no action": {"EQ_action": {"EAT"}}, "no word": {"EQ_bizStep": {"flying"}}, "bad pattern": {"MATCH_epc": {"urn:epc:idpat:sgtin:*.*.*"}},
		"no values": {"EQ_bizStep": {}}, "no direction": {"orderDirection": {"UP"}}, "another order": {"orderBy": {"bizStep"}}, "two times": {"LT_eventTime": {"a", "b"}},
	} {
		if _, err := s.NewQuery(t.Context(), 1, params); err == nil {
			t.Errorf("%s: %v was taken", name, params)
		}
	}
	q, err := s.NewQuery(t.Context(), 1, trace.Parameters{"maxEventCount": {"4"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Events(t.Context(), q, "", "", 10); err == nil {
		t.Error("more events than maxEventCount were answered")
	}
}

type question struct {
	params trace.Parameters
	want   []string
}

func questions(sscc string) []question {
	one := func(name string, values ...string) trace.Parameters { return trace.Parameters{name: values} }
	return []question{
		{nil, []string{"declared", "making", "object", "packing", "sensing"}},
		{one("eventType", "AggregationEvent", "TransformationEvent"), []string{"making", "packing"}},
		{one("GE_eventTime", "2026-02-04T10:00:00Z"), []string{"declared", "sensing"}},
		{one("LT_eventTime", "2026-02-02T10:00:00Z"), []string{"object"}},
		{one("GE_recordTime", "2026-03-01T07:00:00Z"), []string{"declared", "making", "object", "packing", "sensing"}},
		{one("LT_recordTime", "2026-03-01T07:00:00Z"), nil},
		{one("EQ_action", "ADD"), []string{"object", "packing"}},
		{one("EQ_bizStep", "packing", "https://ref.gs1.org/cbv/BizStep-storing"), []string{"declared", "packing"}},
		{one("EQ_bizStep", "cbv:BizStep-packing"), []string{"packing"}},
		{one("EQ_disposition", "active"), []string{"object"}},
		{one("EQ_persistentDisposition_set", "completeness_verified"), []string{"object"}},
		{one("EQ_persistentDisposition_unset", "completeness_verified"), nil},
		{one("EQ_readPoint", "https://id.gs1.org/414/4012345000115"), []string{"packing"}},
		{one("WD_readPoint", "urn:epc:id:sgln:4012345.00011.0"), []string{"object", "packing"}},
		{one("EQ_bizLocation", "https://example.org/414/4012345000115"), []string{"object"}},
		{one("WD_bizLocation", "urn:epc:id:sgln:4012345.00011.0"), []string{"object"}},
		{one("EQ_transformationID", "urn:epc:id:gdti:4012345.55555.1234"), []string{"making"}},
		{one("MATCH_epc", URN(1, 1)), []string{"object", "packing"}},
		{one("MATCH_epc", EPC(1, 2)), []string{"object"}},
		{one("MATCH_epc", "urn:epc:idpat:sgtin:4012345.011111.*"), []string{"object", "packing"}},
		{one("MATCH_epc", "urn:epc:idpat:sgtin:4012345.022222.*"), []string{"packing"}},
		{one("MATCH_epc", sscc), []string{"sensing"}},
		{one("MATCH_parentID", sscc), []string{"packing"}},
		{one("MATCH_inputEPC", EPC(1, 2)), []string{"making"}},
		{one("MATCH_outputEPC", EPC(1, 2)), nil},
		{one("MATCH_outputEPC", EPC(1, 9)), []string{"making"}},
		{one("MATCH_anyEPC", EPC(1, 2)), []string{"making", "object"}},
		{one("MATCH_anyEPC", sscc), []string{"packing", "sensing"}},
		{one("MATCH_epcClass", "urn:epc:class:lgtin:4012345.011111.L1"), []string{"object"}},
		{one("MATCH_inputEPCClass", "urn:epc:class:lgtin:4012345.011111.L1"), nil},
		{one("MATCH_outputEPCClass", "urn:epc:class:lgtin:4012345.033333.M"), []string{"making"}},
		{one("MATCH_anyEPCClass", "urn:epc:class:lgtin:4012345.033333.M"), []string{"making"}},
		{one("EQ_quantity", "12.50"), []string{"object"}},
		{one("GT_quantity", "3"), []string{"object"}},
		{one("GE_quantity", "3"), []string{"making", "object"}},
		{one("LT_quantity", "12.5"), []string{"making"}},
		{one("LE_quantity", "12.5"), []string{"making", "object"}},
		{one("EQ_eventID", "urn:uuid:374d95fc-9457-4a51-bd6a-0bba133845a8"), []string{"object"}},
		{one("EQ_eventID", "urn:uuid:0"), nil},
		{one("EXISTS_errorDeclaration", "true"), []string{"declared"}},
		{one("GE_errorDeclarationTime", "2026-02-06T00:00:00Z"), []string{"declared"}},
		{one("LT_errorDeclarationTime", "2026-02-06T00:00:00Z"), nil},
		{one("EQ_errorReason", "did_not_occur"), []string{"declared"}},
		{one("EQ_correctiveEventID", "urn:x:y"), []string{"declared"}},
		{one("GE_startTime", "2026-02-04T09:00:00Z"), []string{"sensing"}},
		{one("LT_startTime", "2026-02-04T09:00:00Z"), nil},
		{one("GE_endTime", "2026-02-04T10:00:01Z"), nil},
		{one("LT_endTime", "2026-02-04T10:00:01Z"), []string{"sensing"}},
		{one("GE_time", "2026-02-04T09:30:00Z"), []string{"sensing"}},
		{one("LT_time", "2026-02-04T09:30:00Z"), nil},
		{one("EQ_type", "Temperature"), []string{"sensing"}},
		{one("EQ_type", "AbsoluteHumidity"), nil},
		{one("EQ_deviceID", "https://id.gs1.org/8004/4012345D1"), []string{"sensing"}},
		{one("EQ_dataProcessingMethod", "https://example.com/method"), []string{"sensing"}},
		{one("EQ_bizRules", "https://example.com/rules"), []string{"sensing"}},
		{one("EQ_microorganism", "https://example.com/m"), []string{"sensing"}},
		{one("EQ_chemicalSubstance", "https://example.com/c"), []string{"sensing"}},
		{one("EQ_stringValue", "dim"), []string{"sensing"}},
		{one("EQ_hexBinaryValue", "f0"), []string{"sensing"}},
		{one("EQ_uriValue", "https://example.com/u"), []string{"sensing"}},
		{one("EQ_booleanValue", "true"), []string{"sensing"}},
		{one("EQ_booleanValue", "false"), nil},
		{one("EXISTS_sensorElementList", "true"), []string{"sensing"}},
		{one("GE_value_CEL", "4.5"), []string{"sensing"}},
		{one("GT_value_CEL", "4.5"), nil},
		{one("GE_value_KEL", "4.5"), nil},
		{one("LE_minValue_CEL", "2"), []string{"sensing"}},
		{one("EQ_maxValue_CEL", "7.25"), []string{"sensing"}},
		{one("LT_percRank", "50"), nil},
		{one("LE_percRank", "50"), []string{"sensing"}},
		{one("EQ_bizTransaction_po", "https://id.gs1.org/253/4012345111118123"), []string{"object"}},
		{one("EQ_bizTransaction_inv", "https://id.gs1.org/253/4012345111118123"), nil},
		{one("EQ_source_owning_party", "urn:epc:id:pgln:4012345.00000"), []string{"object"}},
		{one("EQ_destination_location", "urn:epc:id:sgln:0614141.00777.0"), []string{"object"}},
		{one("EQ_https://example.com/ns/run", "5.0"), []string{"object"}},
		{one("GT_https://example.com/ns/run", "5"), nil},
		{one("EXISTS_https://example.com/ns/run", "true"), []string{"object"}},
		{one("EQ_ILMD_https://example.com/ns/lot", "L1"), []string{"object"}},
		{one("EQ_ILMD_https://example.com/ns/grade", "4.5"), nil},
		{one("EQ_INNER_ILMD_https://example.com/ns/grade", "4.5"), []string{"object"}},
		{one("EQ_ERROR_DECLARATION_https://example.com/ns/why", "typo"), []string{"declared"}},
		{one("EQ_READPOINT_https://example.com/ns/door", "7"), []string{"object"}},
		{trace.Parameters{"orderBy": {"eventTime"}, "orderDirection": {"ASC"}, "eventCountLimit": {"2"}}, []string{"object", "packing"}},
		{trace.Parameters{"orderBy": {"eventTime"}, "eventCountLimit": {"2"}}, []string{"declared", "sensing"}},
		{trace.Parameters{"orderBy": {"https://example.com/ns/run"}, "eventCountLimit": {"1"}}, []string{"object"}},
		{trace.Parameters{"EQ_bizStep": {"packing"}, "MATCH_epc": {EPC(1, 1)}}, []string{"packing"}},
		{trace.Parameters{"EQ_bizStep": {"commissioning"}, "EQ_disposition": {"active"}, "LT_eventTime": {"2026-02-01T10:00:00.001Z"}}, []string{"object"}},
	}
}

// pages go through an answer in pages of every size, both ways and in both orders, also while
// more comes in.
func pages(t *testing.T, w World) {
	s := Service(w.Open())
	var events []map[string]any
	for i := range 23 {
		step := []string{"packing", "loading", "storing"}[i%3]
		at := "2026-02-0" + string(rune('1'+i%5)) + "T10:00:00Z"
		events = append(events, Event(map[string]any{"bizStep": step, "eventTime": at, "epcList": []string{EPC(1, i), EPC(1, 500)}}))
	}
	capture(t, s, trace.CaptureSpec{}, Document(events...))
	for _, params := range []trace.Parameters{
		{}, {"EQ_bizStep": {"packing", "storing"}}, {"MATCH_epc": {EPC(1, 500)}}, {"EQ_bizStep": {"loading"}, "orderBy": {"recordTime"}},
		{"eventCountLimit": {"7"}, "orderBy": {"eventTime"}},
	} {
		for _, direction := range []string{"ASC", "DESC"} {
			params["orderDirection"] = []string{direction}
			all := asked(t, s, 0, params)
			for _, size := range []int{1, 2, 5, 22, 23, 24} {
				var got []*trace.Event
				q, err := s.NewQuery(t.Context(), 0, params)
				if err != nil {
					t.Fatal(err)
				}
				for after := ""; ; {
					p, err := s.Events(t.Context(), q, params.Fingerprint(), after, size)
					if err != nil {
						t.Fatal(err)
					}
					if got = append(got, whole(t, &p)...); p.Len() > size {
						t.Errorf("a page of %d has %d events", size, p.Len())
					}
					if after = p.Next; after == "" {
						break
					}
				}
				if !slices.EqualFunc(all, got, func(a, b *trace.Event) bool { return a.ID == b.ID }) {
					t.Errorf("%v in pages of %d: %d events, want %d in the same order", params, size, len(got), len(all))
				}
			}
		}
	}
	q, err := s.NewQuery(t.Context(), 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"x", "e30", "bm90anNvbg"} {
		if _, err := s.Events(t.Context(), q, "this", bad, 5); err == nil {
			t.Errorf("the token %q was taken", bad)
		}
	}
}

func namedQueries(t *testing.T, w World) {
	s := Service(w.Open())
	params := trace.Parameters{"EQ_bizStep": {"shipping", "packing"}, "GE_eventTime": {"2026-01-01T00:00:00Z"}, "maxEventCount": {"5"}}
	for _, name := range []string{"b", "a", "批 1"} {
		if _, err := s.AddQuery(t.Context(), 1, name, params); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.AddQuery(t.Context(), 1, "a", nil); !errors.Is(err, trace.ErrQueryExists) {
		t.Errorf("a name twice: %v", err)
	}
	if _, err := s.AddQuery(t.Context(), 1, "c", trace.Parameters{"EQ_x": {"1"}}); err == nil {
		t.Error("a query that is not valid was kept")
	}
	got, err := Service(w.Open()).Query(t.Context(), 1, "a")
	if diff := cmp.Diff(params, got.Params); err != nil || diff != "" {
		t.Errorf("%v (-sent +kept):\n%s", err, diff)
	}
	again, err := s.ReadQuery(got.Params.JSON())
	if diff := cmp.Diff(params, again); err != nil || diff != "" {
		t.Errorf("through JSON: %v (-sent +read):\n%s", err, diff)
	}
	list, err := s.Queries(t.Context(), 1, "a", 10)
	if err != nil || len(list) != 2 || list[0].Name != "b" {
		t.Errorf("behind a: %v, %v", list, err)
	}
	if err := errors.Join(s.RemoveQuery(t.Context(), 1, "a")); err != nil {
		t.Error(err)
	}
	if err := s.RemoveQuery(t.Context(), 1, "a"); !errors.Is(err, trace.ErrNoQuery) {
		t.Errorf("removed twice: %v", err)
	}
	if _, err := s.Query(t.Context(), 1, "a"); !errors.Is(err, trace.ErrNoQuery) {
		t.Errorf("after its removal: %v", err)
	}
}

// inOrder asks for events in the order of an extension's field, page by page: numbers by their
// value, then texts, and at the end what lacks it.
func inOrder(t *testing.T, w World) {
	s := Service(w.Open())
	want := []string{"-2", "9.5", "10", "10", "north", "south", ""}
	for i, at := range []int{3, 0, 5, 1, 6, 4, 2} {
		var field any = want[at]
		if want[at] == "" {
			field = nil
		}
		capture(t, s, trace.CaptureSpec{Brand: ids.BrandID(1 + i%2)}, Document(Event(map[string]any{
			"eventTime": fmt.Sprintf("2026-02-0%dT10:00:00Z", 1+i), "ex:rank": field, "epcList": []string{EPC(ids.BrandID(1+i%2), 1)},
		})))
	}
	for direction, sign := range map[string]int{"ASC": 1, "DESC": -1} {
		params := trace.Parameters{"orderBy": {"https://example.com/ns/rank"}, "orderDirection": {direction}}
		q, err := s.NewQuery(t.Context(), 0, params)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for after, more := "", true; more; more = after != "" {
			p, err := s.Events(t.Context(), q, params.Fingerprint(), after, 3)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range whole(t, &p) {
				text := ""
				if len(e.Extensions) > 0 {
					text = e.Extensions[0].Value.Text
				}
				got = append(got, text)
			}
			after = p.Next
		}
		expect := slices.Clone(want)
		if sign < 0 {
			slices.Reverse(expect[:4])
			slices.Reverse(expect[4:6])
		}
		if diff := cmp.Diff(expect, got); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", direction, diff)
		}
	}
}

// companyPrefixes has a URN tell the prefix of a company for the brand's other identifiers.
func companyPrefixes(t *testing.T, w World) {
	s := Service(w.Open())
	write := func(brand ids.BrandID, uri string) (string, error) {
		form, urns, err := s.FormOf(t.Context(), trace.AsURN, []ids.BrandID{brand})
		if err != nil {
			t.Fatal(err)
		}
		return form.EPC(uri), urns.Err()
	}
	const sscc = "https://id.gs1.org/00/040123450000001112"
	capture(t, s, trace.CaptureSpec{Brand: 1}, Document(Event(map[string]any{"epcList": []string{sscc}})))
	if got, err := write(1, sscc); !errors.Is(err, trace.ErrNoURN) {
		t.Errorf("without any URN: %q, %v", got, err)
	}
	capture(t, s, trace.CaptureSpec{Brand: 1}, Document(Event(map[string]any{"epcList": []string{"urn:epc:id:sgtin:4012345.022222.17"}})))
	for uri, want := range map[string]string{
		sscc: "urn:epc:id:sscc:4012345.0000000111", EPC(1, 1): URN(1, 1), "https://id.gs1.org/414/4012345000115": "urn:epc:id:sgln:4012345.00011.0",
		"urn:epc:id:sgtin:0614141.012345.1": "urn:epc:id:sgtin:0614141.012345.1", "https://example.com/site": "https://example.com/site",
	} {
		if got, err := write(1, uri); got != want || err != nil {
			t.Errorf("%s: %q, %v; want %q", uri, got, err, want)
		}
	}
	if _, err := write(2, sscc); !errors.Is(err, trace.ErrNoURN) {
		t.Errorf("another brand's prefix: %v", err)
	}
	const foreign = "https://id.gs1.org/00/106141410000000019"
	if _, err := write(1, foreign); !errors.Is(err, trace.ErrNoURN) {
		t.Errorf("another company's: %v", err)
	}
	if got, err := write(PrefixedBrand, foreign); got != "urn:epc:id:sscc:0614141.1000000001" || err != nil {
		t.Errorf("a prefix that the brand entered: %q, %v", got, err)
	}
	capture(t, s, trace.CaptureSpec{Brand: 1}, Document(Event(map[string]any{"epcList": []string{"urn:epc:id:sgtin:401234.0555555.17"}})))
	if got, err := write(1, sscc); !errors.Is(err, trace.ErrNoURN) {
		t.Errorf("two prefixes fit: %q, %v", got, err)
	}
}
