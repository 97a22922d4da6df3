package tracetest

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/trace"
)

// withMasters puts master data into a document's header: things of one vocabulary, as JSON.
func withMasters(document, kind, things string) string {
	return strings.Replace(document, "{", fmt.Sprintf(
		`{"epcisHeader":{"epcisMasterData":{"vocabularyList":[{"type":"urn:epcglobal:epcis:vtype:%s","vocabularyElementList":[%s]}]}},`, kind, things), 1)
}

// masters asks by what master data say of places: the last word, each brand's own, and what
// lies within what.
func masters(t *testing.T, w World) {
	s := Service(w.Open())
	const (
		region, yard, door = "https://example.com/region", "urn:epc:id:sgln:4012345.00011.0", "urn:epc:id:sgln:4012345.00011.7"
		mda                = "urn:epcglobal:cbv:mda#"
	)
	at := func(place string) map[string]any {
		return Event(map[string]any{"bizLocation": map[string]any{"id": place}, "eventID": "urn:x:" + place})
	}
	thing := func(id, country, children string) string {
		return fmt.Sprintf(`{"id":%q,"attributes":[{"id":"%scountryCode","attribute":%q},{"id":"%slatitude","attribute":47.5}],"children":[%s]}`, id, mda, country, mda, children)
	}
	first := withMasters(Document(at(yard), at(door)), "BusinessLocation", thing(yard, "DE", "")+","+thing(region, "CH", `"`+yard+`"`))
	capture(t, s, trace.CaptureSpec{Brand: 1}, first)
	capture(t, s, trace.CaptureSpec{Brand: 2}, Document(at(yard)))
	capture(t, s, trace.CaptureSpec{Brand: 1}, withMasters(Document(), "BusinessLocation", thing(yard, "CH", `"`+door+`","`+region+`"`)))
	for name, c := range map[string]struct {
		brand  ids.BrandID
		params trace.Parameters
		want   []string
	}{
		"last word":       {1, trace.Parameters{"EQATTR_bizLocation_" + mda + "countryCode": {"CH", "AT"}}, []string{yard}},
		"no prefix":       {1, trace.Parameters{"EQATTR_bizLocation_cbvmda:countryCode": {"CH"}}, []string{yard}},
		"former word":     {1, trace.Parameters{"EQATTR_bizLocation_" + mda + "countryCode": {"DE"}}, nil},
		"number":          {1, trace.Parameters{"EQATTR_bizLocation_" + mda + "latitude": {"47.5"}}, []string{yard}},
		"another brand":   {2, trace.Parameters{"EQATTR_bizLocation_" + mda + "countryCode": {"CH"}}, nil},
		"all brands":      {0, trace.Parameters{"HASATTR_bizLocation": {mda + "latitude"}}, []string{yard}},
		"another field":   {1, trace.Parameters{"HASATTR_readPoint": {mda + "latitude"}}, nil},
		"no attribute":    {1, trace.Parameters{"HASATTR_bizLocation": {mda + "longitude"}}, nil},
		"within":          {1, trace.Parameters{"WD_bizLocation": {region}}, []string{yard, door}},
		"within, another": {2, trace.Parameters{"WD_bizLocation": {region}}, nil},
	} {
		var got []string
		for _, e := range asked(t, s, c.brand, c.params) {
			got = append(got, e.Location.ID)
		}
		if diff := cmp.Diff(counted(c.want), counted(got)); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", name, diff)
		}
	}
	for name, params := range map[string]trace.Parameters{
		"no such field": {"HASATTR_disposition": {mda + "x"}}, "no attribute": {"EQATTR_bizLocation": {"x"}},
	} {
		if _, err := s.NewQuery(t.Context(), 1, params); !errors.Is(err, trace.ErrBadQuery) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := s.Capture(t.Context(), trace.CaptureSpec{}, withMasters(Document(), "BusinessLocation", thing(yard, "X", ""))); err == nil {
		t.Error("master data of nobody are taken")
	}
	if _, err := s.Capture(t.Context(), trace.CaptureSpec{Brand: 1}, withMasters(Document(), "BusinessLocation", `{"attributes":[]}`)); err == nil {
		t.Error("a thing without a name is taken")
	}
	bad := at(yard)
	bad["eventTime"] = "yesterday"
	capture(t, s, trace.CaptureSpec{Brand: 1}, withMasters(Document(bad), "BusinessLocation", thing(yard, "AT", "")))
	if got := asked(t, s, 1, trace.Parameters{"EQATTR_bizLocation_" + mda + "countryCode": {"AT"}}); len(got) != 0 {
		t.Error("master data of a refused document are kept")
	}
	tooMany(t, s, thing)
}

func tooMany(t *testing.T, s *trace.Service, thing func(id, country, children string) string) {
	t.Helper()
	const half = trace.MastersMax/2 + 1
	for part, want := range []bool{true, false} {
		var all bytes.Buffer
		for i := range half {
			if i > 0 {
				all.WriteByte(',')
			}
			all.WriteString(thing(fmt.Sprintf("https://example.com/%d/%d", part, i), "CH", ""))
		}
		_, err := s.Capture(t.Context(), trace.CaptureSpec{Brand: 3}, withMasters(Document(), "ReadPoint", all.String()))
		if f, ok := fault.From(err); (err == nil) != want || err != nil && (!ok || f.Kind != fault.TooLarge) {
			t.Errorf("part %d: %v", part, err)
		}
	}
}

func counted(all []string) map[string]int {
	out := map[string]int{}
	for _, s := range all {
		out[s]++
	}
	return out
}
