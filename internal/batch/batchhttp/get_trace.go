package batchhttp

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/httpx"
)

// The stages of a timeline. The first three are the seed's.
const (
	stageProduction = "production"
	stageLogistics  = "logistics"
	stageSales      = "sales"
	stageQuality    = "quality"
)

type traceView struct {
	Code     string      `json:"code"`
	Timeline []traceStep `json:"timeline"`
}

// traceStep is one step that the public may know of: who booked it stays inside.
type traceStep struct {
	Stage     string        `json:"stage"`
	Time      *time.Time    `json:"time,omitempty"`
	TimeLocal string        `json:"time_local,omitempty"`
	Location  string        `json:"location,omitempty"`
	Details   *traceDetails `json:"details,omitempty"`
	Status    string        `json:"status,omitempty"` // "loading": the source did not answer in time
}

type traceDetails struct {
	State          string `json:"state"`
	Reason         string `json:"reason,omitempty"`
	Undoes         string `json:"undoes,omitempty"` // the state that was booked by mistake or is lifted
	BatchNo        string `json:"batch_no,omitempty"`
	ProductionDate string `json:"production_date,omitempty"`
}

// nowhere is the location of a step that names none.
const nowhere = "unknown"

// getTrace answers GET /api/v1/trace/{code}.
func (a *api) getTrace(w http.ResponseWriter, r *http.Request) error {
	noStore(w)
	start := a.Clock.Now()
	defer func() { a.Traced(a.Clock.Now().Sub(start)) }()
	may, err := a.mayRead(r)
	if err != nil {
		return err
	}
	zone, err := httpx.Zone(r)
	if err != nil {
		return err
	}
	code := r.PathValue("code")
	_, item, err := a.Service.Resolve(code)
	if err != nil {
		return err
	}
	if item.Batch.Mark == batch.Display && !may.Has(item.Batch.BrandID) {
		return batch.ErrUnknownCode // its link has a token, and this asks without one
	}
	steps, err := a.timeline(r.Context(), code, item.Batch)
	if err != nil {
		return err
	}
	for i := range steps {
		if steps[i].Time != nil {
			steps[i].TimeLocal = local(*steps[i].Time, zone)
		}
	}
	return httpx.OK(w, traceView{code, steps})
}

// timeline is what is known of an item. What its batch says is in memory; a history
// that takes too long is said to be loading rather than waited for.
func (a *api) timeline(ctx context.Context, code string, b *batch.Batch) ([]traceStep, error) {
	steps := []traceStep{made(b)}
	bounded, cancel := context.WithTimeout(ctx, a.TraceWait)
	defer cancel()
	history, err := a.Service.CodeHistory(bounded, code)
	switch {
	case err != nil && bounded.Err() != nil && ctx.Err() == nil:
		return append(steps, traceStep{Stage: stageLogistics, Status: "loading"}, traceStep{Stage: stageSales, Status: "loading"}), nil
	case err != nil:
		return nil, err
	}
	known := map[ids.ChangeID]batch.HistoryStep{}
	for _, h := range history {
		known[h.ChangeID] = h
		if state, ok := gs1.ParseDisposition(h.Kind); ok {
			steps = append(steps, traced(h, state, known))
		}
	}
	if b.Expired(a.Clock.Now()) {
		steps = append(steps, traceStep{
			Stage: stageQuality, Time: orNull(b.ExpiresAt), Location: nowhere, Details: &traceDetails{State: gs1.Expired.String()},
		})
	}
	slices.SortStableFunc(steps[1:], func(a, b traceStep) int { return a.Time.Compare(*b.Time) })
	return steps, nil
}

// made is the first step: the batch was produced, or its codes were made.
func made(b *batch.Batch) traceStep {
	at := b.CreatedAt
	if day, err := time.Parse(time.DateOnly, b.ProductionDate); err == nil {
		at = day
	}
	return traceStep{
		Stage: stageProduction, Time: orNull(at), Location: nowhere,
		Details: &traceDetails{State: batch.FirstState.String(), BatchNo: b.No, ProductionDate: b.ProductionDate},
	}
}

// traced is a state change as the public sees it. An undo belongs to the stage of
// what it undoes.
func traced(h batch.HistoryStep, state gs1.Disposition, known map[ids.ChangeID]batch.HistoryStep) traceStep {
	at := h.At
	if !h.Happened.IsZero() {
		at = h.Happened
	}
	step := traceStep{
		Stage: stageOf(state), Time: orNull(at), Location: h.Place, Details: &traceDetails{State: state.String(), Reason: h.Reason},
	}
	if step.Location == "" {
		step.Location = nowhere
	}
	if undone, ok := known[h.Reverts]; ok && h.Reverts != "" {
		was, _ := gs1.ParseDisposition(undone.Kind)
		step.Stage, step.Details.Undoes = stageOf(was), undone.Kind
	}
	return step
}

// stageOf is where in an item's life a state belongs.
func stageOf(state gs1.Disposition) string {
	switch state {
	case gs1.Encoded, gs1.Inactive, gs1.Active:
		return stageProduction
	case gs1.InProgress, gs1.InTransit, gs1.SellableAccessible, gs1.SellableNotAccessible, gs1.Returned:
		return stageLogistics
	case gs1.RetailSold, gs1.Dispensed:
		return stageSales
	default:
		return stageQuality
	}
}
