package scan

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/verify/verifyevent"
)

// History is a page of one code's scans.
type History struct {
	Code  string
	Scans []Record        // the newest first
	Next  verifyevent.Ref // where the next page begins; the zero Ref at the end
	// Freshness is of the records, when they were found without the log. nil: the log
	// was read, and every scan is in.
	Freshness *Freshness
}

// History gives a code's scans, the newest first: from the one named, or from the
// last when from is the zero Ref.
//
// Each sighting names the item's one before, so that the way back needs no index. It
// leads through the log, which has what was not consumed yet, and where the log was
// trimmed through the day files. On a closed day the whole day's scans of the code
// are taken at once by its index. No scan is met twice, whatever is consumed
// meanwhile.
func (s *Service) History(ctx context.Context, code string, from verifyevent.Ref, limit int) (*History, error) {
	serial, err := s.Codes.Serial(ctx, code)
	if err != nil {
		return nil, err
	}
	if s.ByCode != nil {
		return s.indexed(ctx, code, from, limit)
	}
	begin := from
	if begin == (verifyevent.Ref{}) {
		if begin, err = s.Trail.Last(serial); err != nil {
			return nil, err
		}
	}
	w := walk{s: s, ctx: ctx, serial: serial, code: code, limit: limit, days: map[Day]bool{}, known: map[verifyevent.Ref]Record{}, may: map[Day]bool{}}
	out := &History{Code: code, Next: begin}
	for out.Next != (verifyevent.Ref{}) && len(out.Scans) < limit {
		rec, ok, err := w.at(out.Next)
		if err != nil {
			return nil, err
		}
		if ok && rec.Serial != serial {
			return nil, ErrBadCursor // nobody's but a cursor that was made by hand
		}
		if !ok {
			out.Next = verifyevent.Ref{} // deleted with its day, and all before it
			break
		}
		out.Scans = append(out.Scans, rec)
		if rec.Prev == out.Next {
			break
		}
		out.Next = rec.Prev
	}
	return out, nil
}

// indexed is the history where the engine has it by its index.
func (s *Service) indexed(ctx context.Context, code string, from verifyevent.Ref, limit int) (*History, error) {
	fresh, err := s.freshness(ctx, GroupRecords)
	if err != nil {
		return nil, err
	}
	records, next, err := s.ByCode.OfCode(ctx, code, from, limit)
	return &History{Code: code, Scans: records, Next: next, Freshness: &fresh}, err
}

// walk is one way back.
type walk struct {
	s      *Service
	ctx    context.Context //nolint:containedctx // lives for one call
	serial ids.Serial
	code   string
	limit  int
	days   map[Day]bool // taken whole
	known  map[verifyevent.Ref]Record
	may    map[Day]bool // may addresses of the day be shown?

	at64   uint64 // the log's record that was read last
	record []byte
}

// at finds a scan: among those that were taken already, in the log, in a day file.
func (w *walk) at(ref verifyevent.Ref) (Record, bool, error) {
	if rec, ok := w.known[ref]; ok {
		return rec, true, nil
	}
	rec, ok, err := w.logged(ref)
	if err != nil || ok {
		return rec, ok, err
	}
	if rec, ok, err = w.s.Records.Find(w.ctx, ref); err != nil || !ok || rec.Serial != w.serial {
		return rec, ok, err
	}
	if day := DayAt(rec.At); !w.days[day] {
		w.days[day] = true
		all, err := w.s.Records.OfDay(w.ctx, day, w.code, w.limit)
		if err != nil {
			return rec, true, err
		}
		for _, r := range all {
			w.known[r.Ref] = r
		}
	}
	return rec, true, nil
}

var errFound = errors.New("scan: found")

// logged reads a sighting from the log.
func (w *walk) logged(ref verifyevent.Ref) (rec Record, ok bool, _ error) {
	if w.record == nil || w.at64 != ref.At {
		raw, there, err := w.s.Trail.Read(ref.At)
		if err != nil || !there {
			return rec, false, err
		}
		w.at64, w.record = ref.At, raw
	}
	err := verifyevent.Each(w.record, func(n uint16, v *verifyevent.Sighting) error {
		if n != ref.N {
			return nil
		}
		Fit(v)
		rec = RecordOf(&Seen{ref, *v}, w.code)
		return errFound
	})
	if !errors.Is(err, errFound) {
		return rec, false, err
	}
	if !rec.IP.IsValid() || rec.Serial != w.serial {
		return rec, true, nil
	}
	day := DayAt(rec.At)
	may, asked := w.may[day]
	if !asked {
		if may, err = w.s.Policies.MayShow(w.ctx, rec.Brand, day); err != nil {
			return rec, false, err
		}
		w.may[day] = may
	}
	if !may {
		rec.IP = netip.Addr{}
	}
	return rec, true, nil
}

// RecordOf is the record that a sighting becomes.
func RecordOf(s *Seen, code string) Record {
	result, word := Judge(&s.Sighting)
	r := Record{
		Ref: s.Ref, Prev: s.Prev, Code: code, Serial: s.Serial, Brand: s.Brand, Product: s.Product, Batch: s.FirstOfBatch(),
		At: time.UnixMicro(s.At).UTC(), Result: result, Error: word, Verdict: s.Verdict, Source: s.Source, What: s.What, Device: s.Device,
		Place: s.Place.String(), Net: CoarseText(s.IP), IP: s.IP.Unmap().WithZone(""), Agent: s.Agent, Zone: s.Zone, User: s.User,
	}
	if s.What.Has(verifyevent.Traced) {
		r.Trace = s.Trace.ID
	}
	return r
}
