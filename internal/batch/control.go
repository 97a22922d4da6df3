package batch

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

// Control is what an owner of brands bounds: how many codes a day, and how many items one
// person voids. The zero Control bounds nothing.
type Control struct {
	// TakeCodes counts codes before they are made, or refuses; back gives them back when
	// they were not.
	TakeCodes func(ctx context.Context, brand ids.BrandID, codes int64) (back func(context.Context) error, _ error)
	// Hold keeps a change that a second person must agree to; held is false when it may be
	// made at once.
	Hold func(ctx context.Context, r ids.Request, h Held) (id string, held bool, _ error)
}

// Held is a change of goods that may need a second person.
type Held struct {
	Brand  ids.BrandID
	To     gs1.Disposition
	Items  int64
	Reason string
	Spec   json.RawMessage // of the change, for ApproveChange
}

// heldSpecForm is how a change waits for a second person, for as long as that takes: append
// fields, never rename.
type heldSpecForm struct {
	BatchID ids.BatchID  `json:"batch_id,omitempty"`
	From    int64        `json:"from_no,omitempty"`
	Last    int64        `json:"to_no,omitempty"`
	Codes   []string     `json:"codes,omitempty"`
	To      string       `json:"to"`
	Reason  string       `json:"reason"`
	At      time.Time    `json:"at,omitzero"`
	Place   string       `json:"place,omitempty"`
	Strict  bool         `json:"strict,omitempty"`
	Reverts ids.ChangeID `json:"reverts,omitempty"`

	Container string `json:"container,omitempty"`
}

func heldSpec(s StateSpec) heldSpecForm {
	return heldSpecForm{s.Select.BatchID, s.Select.From, s.Select.To, s.Select.Codes, s.To, s.Reason, s.At, s.Place, s.Strict, s.Reverts, s.Select.Container}
}

// HeldError answers a change that waits for a second person.
type HeldError struct {
	ID    string
	Items int64
}

// Error implements error.
func (e *HeldError) Error() string { return e.fault().Error() }

// Unwrap gives the fault, for who knows no approvals.
func (e *HeldError) Unwrap() error { return e.fault() }

func (e *HeldError) fault() *fault.Error {
	return fault.New(fault.Conflict, "approval.needed", "this changes %d items and needs a second person: approval %s waits; nothing was changed", e.Items, e.ID)
}

// needsTwo are the states that take goods off the market.
func needsTwo(to gs1.Disposition) bool {
	return to == gs1.Recalled || to == gs1.Void || to == gs1.Destroyed
}

// hold keeps a change for a second person where the owner wants one.
func (s *Service) hold(ctx context.Context, cmd Command, spec StateSpec, to gs1.Disposition, targets []target) error {
	if s.Control.Hold == nil || cmd.Approved || !needsTwo(to) {
		return nil
	}
	h := Held{Brand: targets[0].BrandID, To: to, Reason: spec.Reason}
	for _, t := range targets {
		h.Items += t.numbers.Count()
	}
	var err error
	if h.Spec, err = json.Marshal(heldSpec(spec)); err != nil {
		return fmt.Errorf("encode a change for a second person: %w", err)
	}
	id, held, err := s.Control.Hold(ctx, cmd.Request, h)
	if err != nil || !held {
		return err
	}
	return &HeldError{id, h.Items}
}

// ApproveChange makes a change that was held, for the second person. The request must be
// the approval's own, so that it has one effect however often it is asked.
func (s *Service) ApproveChange(ctx context.Context, cmd Command, spec json.RawMessage) (Change, error) {
	var kept heldSpecForm
	if err := json.Unmarshal(spec, &kept); err != nil {
		return Change{}, fmt.Errorf("decode a change that was held: %w", err)
	}
	ask := StateSpec{
		Select: Selection{BatchID: kept.BatchID, From: kept.From, To: kept.Last, Codes: kept.Codes, Container: kept.Container},
		To:     kept.To, Reason: kept.Reason, At: kept.At, Place: kept.Place, Strict: kept.Strict, Reverts: kept.Reverts,
	}
	cmd.Approved = true
	c, _, err := s.ChangeState(ctx, cmd, ask)
	return c, err
}

// create allocates a batch within what the owner of the brand bounds.
func (s *Service) create(ctx context.Context, cmd Command, n NewBatch) (effect string, replayed bool, _ error) {
	if s.Control.TakeCodes == nil {
		return s.store.CreateBatch(ctx, cmd.Request, n)
	}
	back, err := s.Control.TakeCodes(ctx, n.Batch.BrandID, n.Batch.Quantity)
	if err != nil {
		return "", false, err
	}
	effect, replayed, err = s.store.CreateBatch(ctx, cmd.Request, n)
	if replayed || err != nil && fault.KindOf(err) != fault.Unavailable { // which may have taken effect
		if gave := back(context.WithoutCancel(ctx)); err == nil {
			err = gave
		}
	}
	return effect, replayed, err
}
