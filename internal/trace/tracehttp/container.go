package tracehttp

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/internal/trace"
)

type step struct {
	EPC   string       `json:"epc"`
	Since string       `json:"since"`
	Flags []trace.Flag `json:"flags,omitempty"`
}

type contained struct {
	EPC    string       `json:"epc"`
	AsOf   string       `json:"as_of"`
	Within []step       `json:"within"` // from the inside out
	Items  int64        `json:"items"`  // coded items in it
	Codes  []string     `json:"codes"`  // of them, at most codesMax
	EPCs   []string     `json:"epcs"`   // what else is in it
	Flags  []trace.Flag `json:"flags,omitempty"`
}

const codesMax = 10_000

const ssccDigits = 18

// getContainer answers GET /api/v1/containers/{epc}, an EPC or the digits of an SSCC: where a thing was, and what was in it,
// directly or with ?deep=true in all of it, as of ?at=.
func (a *api) getContainer(w http.ResponseWriter, r *http.Request) error {
	brand, err := brandOf(r)
	if err != nil {
		return err
	}
	epc, at := r.PathValue("epc"), a.Clock.Now()
	if len(epc) == ssccDigits && strings.Trim(epc, "0123456789") == "" {
		epc = gs1.CanonicalStem + "/00/" + epc
	}
	if text := r.URL.Query().Get("at"); text != "" {
		if at, err = time.Parse(time.RFC3339, text); err != nil {
			return fault.Field("input.bad_time", "at", "must be a time as 2026-03-01T08:00:00Z")
		}
	}
	deep := false
	if text := r.URL.Query().Get("deep"); text != "" {
		if deep, err = strconv.ParseBool(text); err != nil {
			return fault.Field("input.bad_flag", "deep", "must be true or false")
		}
	}
	child, err := a.Service.Child(r.Context(), epc)
	if err != nil {
		return err
	}
	steps, err := a.Service.Within(r.Context(), brand, child, at)
	if err != nil {
		return err
	}
	in, err := a.Service.Contents(r.Context(), brand, epc, at, deep)
	if err != nil {
		return err
	}
	out := contained{EPC: trace.Canonical(epc), AsOf: stamp(at), Within: []step{}, Codes: []string{}, EPCs: in.EPCs, Flags: in.Flags}
	for _, s := range steps {
		out.Within = append(out.Within, step{s.Parent, stamp(s.Since), s.Flags})
	}
	if out.EPCs == nil {
		out.EPCs = []string{}
	}
	for _, run := range in.Runs {
		out.Items += int64(run.To-run.From) + 1
		for s := run.From; s <= run.To && len(out.Codes) < codesMax; s++ {
			out.Codes = append(out.Codes, a.Service.Code(s))
		}
	}
	return httpx.OK(w, out)
}
