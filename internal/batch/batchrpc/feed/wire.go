package feed

import (
	"errors"
	"time"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/batch/batchrpc/feed/feedpb"
	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
)

func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func moment(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

// toEntry writes what a projection needs of an entry, with the labels that belong to it.
func toEntry(e *batch.Entry, labels []*batch.Label) *feedpb.Entry {
	out := &feedpb.Entry{Seq: e.Seq, AtMicros: micros(e.At), Kind: uint32(e.Kind)}
	for _, l := range labels {
		out.Labels = append(out.Labels, toLabel(l))
	}
	switch e.Kind {
	case batch.BatchCreated:
		b := e.Batch
		out.Batch = &feedpb.Batch{
			Id: string(b.ID), ProductId: int32(b.ProductID), BrandId: int32(b.BrandID), No: b.No, First: uint64(b.First), Quantity: b.Quantity,
			Mark: string(b.Mark), RotateSeconds: int64(b.RotateEvery / time.Second), InnerKeyId: b.InnerKeyID, ExpiresMicros: micros(b.ExpiresAt),
			ProductionDate: b.ProductionDate, Description: b.Description, CreatedMicros: micros(b.CreatedAt),
			SignatureKeyId: b.SignatureKeyID, SignatureGtin: string(b.SignatureGTIN),
		}
	case batch.StateChanged:
		c := e.Change
		out.Change = &feedpb.Change{
			Id: string(c.ID), To: uint32(c.To), EffectiveMicros: micros(c.Effective), AtMicros: micros(c.At), Place: c.Place, Reason: c.Reason,
		}
		for _, cover := range c.Covers {
			out.Change.Covers = append(out.Change.Covers, &feedpb.Cover{Batch: uint64(cover.Batch), To: uint32(cover.To), Runs: toRuns(cover.Numbers), By: cover.By})
		}
	case batch.TextsChanged:
		out.Texts = &feedpb.Texts{BrandId: int32(e.Texts.BrandID), ProductId: int32(e.Texts.ProductID)}
	case batch.SettingsChanged:
		b := e.Settings
		out.Settings = &feedpb.Settings{
			BrandId: int32(b.BrandID), Version: b.Version, MissesPerHour: int32(b.MissesPerHour), HidePlaces: b.HidePlaces, Logo: b.Logo,
			ChangedMicros: micros(b.ChangedAt),
		}
	default:
		i := e.Item
		out.Item = &feedpb.Item{Id: string(i.ID), Batch: uint64(i.Batch), Serial: uint64(i.Serial), Version: uint32(i.Version)}
	}
	return out
}

var errDamaged = errors.New("feed: an entry cannot be read; is the other process of another version?")

// fromEntry is the reverse.
func fromEntry(p *feedpb.Entry) (e batch.Entry, labels []batch.Label, _ error) {
	for _, l := range p.GetLabels() {
		labels = append(labels, fromLabel(l))
	}
	e = batch.Entry{Seq: p.GetSeq(), At: moment(p.GetAtMicros()), Kind: batch.FeedKind(p.GetKind())}
	switch {
	case e.Kind == batch.BatchCreated && p.GetBatch() != nil && len(labels) > 0:
		b := p.GetBatch()
		e.Batch = &batch.Batch{
			ID: ids.BatchID(b.GetId()), ProductID: ids.ProductID(b.GetProductId()), BrandID: ids.BrandID(b.GetBrandId()), No: b.GetNo(),
			First: ids.Serial(b.GetFirst()), Quantity: b.GetQuantity(), Mark: batch.Mark(b.GetMark()),
			RotateEvery: time.Duration(b.GetRotateSeconds()) * time.Second, InnerKeyID: b.GetInnerKeyId(), ExpiresAt: moment(b.GetExpiresMicros()),
			ProductionDate: b.GetProductionDate(), Description: b.GetDescription(), CreatedAt: moment(b.GetCreatedMicros()),
			SignatureKeyID: b.GetSignatureKeyId(), SignatureGTIN: gs1.GTIN(b.GetSignatureGtin()),
		}
		return e, labels, nil
	case e.Kind == batch.StateChanged && p.GetChange() != nil:
		c := p.GetChange()
		e.Change = &batch.Change{
			ID: ids.ChangeID(c.GetId()), Seq: e.Seq, To: gs1.Disposition(c.GetTo()), Effective: moment(c.GetEffectiveMicros()),
			At: moment(c.GetAtMicros()), Place: c.GetPlace(), Reason: c.GetReason(),
		}
		for _, cover := range c.GetCovers() {
			numbers, err := fromRuns(cover.GetRuns())
			if err != nil {
				return e, nil, err
			}
			e.Change.Covers = append(e.Change.Covers, batch.Cover{Batch: ids.Serial(cover.GetBatch()), To: gs1.Disposition(cover.GetTo()), Numbers: numbers, By: cover.GetBy()})
		}
		return e, labels, nil
	case e.Kind == batch.TextsChanged && p.GetTexts() != nil:
		e.Texts = &batch.TextsEntry{BrandID: ids.BrandID(p.GetTexts().GetBrandId()), ProductID: ids.ProductID(p.GetTexts().GetProductId())}
		return e, labels, nil
	case e.Kind == batch.SettingsChanged && p.GetSettings() != nil:
		b := p.GetSettings()
		e.Settings = &batch.Settings{
			BrandID: ids.BrandID(b.GetBrandId()), Version: b.GetVersion(), MissesPerHour: int(b.GetMissesPerHour()),
			HidePlaces: b.GetHidePlaces(), Logo: b.GetLogo(), ChangedAt: moment(b.GetChangedMicros()),
		}
		return e, labels, nil
	case (e.Kind == batch.Reissued || e.Kind == batch.InnerChecked) && p.GetItem() != nil:
		i := p.GetItem()
		e.Item = &batch.ItemChange{ID: ids.ChangeID(i.GetId()), Batch: ids.Serial(i.GetBatch()), Serial: ids.Serial(i.GetSerial()), Version: uint16(i.GetVersion())}
		return e, labels, nil
	}
	return e, nil, errDamaged
}

// toRuns writes each run as the gap before it and its length less one.
func toRuns(rs batch.Runs) []uint64 {
	out := make([]uint64, 0, 2*len(rs))
	end := int64(0)
	for _, r := range rs {
		out = append(out, uint64(r.From-end), uint64(r.Len()-1))
		end = r.To
	}
	return out
}

func fromRuns(raw []uint64) (batch.Runs, error) {
	if len(raw)%2 != 0 {
		return nil, errDamaged
	}
	out := make(batch.Runs, 0, len(raw)/2)
	end := int64(0)
	for i := 0; i < len(raw); i += 2 {
		if raw[i] > batch.BatchMax || raw[i+1] > batch.BatchMax || end > batch.BatchMax {
			return nil, errDamaged
		}
		r := batch.Run{From: end + int64(raw[i])}
		r.To = r.From + int64(raw[i+1])
		out, end = append(out, r), r.To
	}
	return out, nil
}

func toLabel(l *batch.Label) *feedpb.Label {
	return &feedpb.Label{ProductId: int32(l.Product), Name: l.Name, BrandId: int32(l.BrandID), Brand: l.Brand, Help: l.Help, Gtin: string(l.GTIN)}
}

func fromLabel(p *feedpb.Label) batch.Label {
	return batch.Label{
		Product: ids.ProductID(p.GetProductId()), Name: p.GetName(), BrandID: ids.BrandID(p.GetBrandId()), Brand: p.GetBrand(),
		Help: p.GetHelp(), GTIN: gs1.GTIN(p.GetGtin()),
	}
}

// size is about what an entry takes on the wire.
func size(e *batch.Entry) int {
	n := 512
	if e.Change != nil {
		for _, cover := range e.Change.Covers {
			n += 32 + 6*len(cover.Numbers)
		}
	}
	return n
}
