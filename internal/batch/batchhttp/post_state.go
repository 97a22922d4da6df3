package batchhttp

import (
	"errors"
	"net/http"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/httpx"
)

type stateAsk struct {
	Select  selectAsk    `json:"select"`
	To      string       `json:"to"`
	Reason  string       `json:"reason"`
	At      string       `json:"at"`
	Place   string       `json:"place"`
	Strict  bool         `json:"strict"`
	Reverts ids.ChangeID `json:"reverts"`
}

type selectAsk struct {
	BatchID   ids.BatchID `json:"batch_id"`
	FromNo    *int64      `json:"from_no"`
	ToNo      *int64      `json:"to_no"`
	Codes     []string    `json:"codes"`
	Container string      `json:"container"`
}

type changeMade struct {
	ChangeID     ids.ChangeID  `json:"change_id"` // "" when no code of the request is ours: nothing was written
	Items        int64         `json:"items"`
	Unchanged    int64         `json:"unchanged"`
	Refused      []refusedItem `json:"refused"`
	RefusedCount int64         `json:"refused_count"`
	ApprovalID   string        `json:"approval_id,omitempty"` // it waits for a second person, and nothing was changed
}

// refusedItem is a code, or a run of a batch's numbers, with the state that it is in.
type refusedItem struct {
	Code    string      `json:"code,omitempty"`
	BatchID ids.BatchID `json:"batch_id,omitempty"`
	FromNo  int64       `json:"from_no,omitempty"`
	ToNo    int64       `json:"to_no,omitempty"`
	State   string      `json:"state"`
}

// refusedMax bounds how many refused codes and runs an answer lists.
const refusedMax = 100_000

// postState answers POST /api/v1/codes/state.
func (a *api) postState(w http.ResponseWriter, r *http.Request) error {
	ask, cmd, err := decode[stateAsk](w, r, httpx.BodyMaxList)
	if err != nil {
		return err
	}
	spec, err := ask.spec()
	if err != nil {
		return err
	}
	c, replayed, err := a.Service.ChangeState(r.Context(), cmd, spec)
	if held := (*batch.HeldError)(nil); errors.As(err, &held) {
		return answer(w, false, changeMade{ApprovalID: held.ID, Items: held.Items, Refused: []refusedItem{}})
	}
	if err != nil {
		return err
	}
	made := changeMade{ChangeID: c.ID, Items: c.Items, Unchanged: c.Unchanged, Refused: []refusedItem{}}
	for _, rf := range c.Refused {
		made.RefusedCount += rf.Numbers.Count()
		made.Refused = a.appendRefused(made.Refused, rf, len(ask.Select.Codes) > 0)
	}
	return answer(w, replayed, made)
}

func (ask *stateAsk) spec() (batch.StateSpec, error) {
	from, err := numberOf("select.from_no", ask.Select.FromNo)
	if err != nil {
		return batch.StateSpec{}, err
	}
	to, err := numberOf("select.to_no", ask.Select.ToNo)
	if err != nil {
		return batch.StateSpec{}, err
	}
	at, err := parseTime("at", ask.At)
	return batch.StateSpec{
		Select: batch.Selection{BatchID: ask.Select.BatchID, From: from, To: to, Codes: ask.Select.Codes, Container: ask.Select.Container},
		To:     ask.To, Reason: ask.Reason, At: at, Place: ask.Place, Strict: ask.Strict, Reverts: ask.Reverts,
	}, err
}

// appendRefused lists what a change left alone, up to refusedMax entries in all:
// code by code when codes were asked for, else run by run.
func (a *api) appendRefused(list []refusedItem, rf batch.Refused, byCode bool) []refusedItem {
	if !rf.State.Known() { // codes that are none of ours; their numbers are serials
		return a.appendCodes(list, &batch.Batch{First: 0}, rf.Numbers, 1, "unknown")
	}
	item, ok := a.Service.Projection().Lookup(rf.Batch)
	if !ok {
		return list // cannot be: a batch never goes away
	}
	if byCode {
		return a.appendCodes(list, item.Batch, rf.Numbers, 0, rf.State.String())
	}
	for _, run := range rf.Numbers {
		if len(list) == refusedMax {
			break
		}
		list = append(list, refusedItem{BatchID: item.Batch.ID, FromNo: run.From, ToNo: run.To, State: rf.State.String()})
	}
	return list
}

// appendCodes lists a set of numbers as codes. shift turns what the set holds into
// numbers of the batch.
func (a *api) appendCodes(list []refusedItem, b *batch.Batch, numbers batch.Runs, shift int64, state string) []refusedItem {
	for _, run := range numbers {
		for no := run.From; no <= run.To && len(list) < refusedMax; no++ {
			list = append(list, refusedItem{Code: a.Service.Code(b, no+shift).String(), State: state})
		}
	}
	return list
}
