package scan

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

// The limits of one question.
const (
	PointsMax = 1500   // buckets of a range
	groupsMax = 50     // what is smaller is put together as others
	rowsMax   = 60_000 // buckets times values, before they are put together
	TopMax    = TopCodesKept

	topHours = 48 * time.Hour // up to which a top list is made of hours
)

// Question narrows the statistics as a caller does, by names.
type Question struct {
	Brand    ids.BrandID
	Product  ids.ProductID
	Batch    ids.BatchID
	From, To time.Time // zero = usual; widened to whole buckets
}

// ErrWhichBrand answers a question over all brands of who may see some of them.
var ErrWhichBrand = fault.Field("scan.which_brand", "brand_id", "is needed, unless exactly one brand is yours")

// filter checks that what is named is there and of one brand.
func (s *Service) filter(ctx context.Context, q Question) (f Filter, _ error) {
	if scope := ids.ScopeOf(ctx); !scope.All() && q.Brand == 0 && q.Product == 0 && q.Batch == "" {
		own := scope.Brands()
		if len(own) != 1 {
			return f, ErrWhichBrand
		}
		q.Brand = own[0]
	}
	f.Brand = q.Brand
	if q.Brand != 0 {
		if _, err := s.Catalog.Brand(ctx, q.Brand); err != nil {
			return f, err
		}
	}
	if q.Product != 0 {
		brand, _, err := s.Catalog.Product(ctx, q.Product)
		if err != nil {
			return f, err
		}
		if f.Brand != 0 && f.Brand != brand {
			return f, fault.Field("product.other_brand", "product_id", "belongs to another brand")
		}
		f.Brand, f.Product = brand, q.Product
	}
	if q.Batch != "" {
		b, err := s.Catalog.Batch(ctx, q.Batch)
		if err != nil {
			return f, err
		}
		if f.Brand != 0 && f.Brand != b.Brand || f.Product != 0 && f.Product != b.Product {
			return f, fault.Field("scan.other_batch", "batch_id", "belongs to another brand or product")
		}
		f.Brand, f.Product, f.Batch, f.HasBatch = b.Brand, b.Product, b.First, true
	}
	return f, nil
}

// stretch widens a range to whole buckets, and refuses one with too many of them.
func (s *Service) stretch(q Question, by Grain) (from, to int64, _ error) {
	if q.To.IsZero() {
		q.To = s.Clock.Now()
	}
	if q.From.IsZero() {
		q.From = q.To.Add(-map[Grain]time.Duration{Minute: time.Hour, Hour: 24 * time.Hour, EachDay: 30 * 24 * time.Hour}[by])
	}
	if !q.From.Before(q.To) {
		return 0, 0, ErrBadRange
	}
	width := by.Seconds()
	from = q.From.Unix() - q.From.Unix()%width
	to = q.To.Unix()
	if q.To.Nanosecond() > 0 {
		to++
	}
	to = (to + width - 1) / width * width
	if n := (to - from) / width; n > PointsMax {
		return 0, 0, fault.Field("scan.bad_range", "from", "with by this is %d points, at most %d are given; take a coarser grain or a shorter range", n, PointsMax)
	}
	return from, to, nil
}

// Point is one bucket of a series. Buckets without a scan are left out.
type Point struct {
	Start time.Time
	Counts
}

// Line is the series of one value of the dimension; Others stands for all values
// that are too small to have their own.
type Line struct {
	Brand    ids.BrandID
	Product  ids.ProductID
	Batch    *BatchInfo // nil when the batch is not known (any more)
	Province string
	Verdict  string
	Others   bool
	Points   []Point
	Total    Counts
}

// Distinct is how many distinct codes there are.
type Distinct struct {
	Count int64
	Exact bool
}

// Series is an answer of the statistics.
type Series struct {
	By       Grain
	Group    Dimension
	From, To time.Time
	Lines    []Line
	Total    Counts
	Distinct *Distinct // nil when the range is not of whole days, or asks for too much
	Freshness
}

// Series answers a question bucket by bucket.
func (s *Service) Series(ctx context.Context, q Question, by Grain, group Dimension) (*Series, error) {
	if by == Minute && group == ByProvince {
		return nil, fault.Field("scan.too_fine", "group", "minutes are kept without provinces; take by=hour or by=day")
	}
	f, err := s.filter(ctx, q)
	if err != nil {
		return nil, err
	}
	from, to, err := s.stretch(q, by)
	if err != nil {
		return nil, err
	}
	fresh, err := s.freshness(ctx, GroupStatistics)
	if err != nil {
		return nil, err
	}
	sums, err := s.Statistics.Sum(ctx, SumAsk{Filter: f, Grain: by, From: from, To: to, By: group, RowsMax: rowsMax})
	if err != nil {
		return nil, err
	}
	out := &Series{By: by, Group: group, From: time.Unix(from, 0).UTC(), To: time.Unix(to, 0).UTC(), Freshness: fresh}
	if out.Lines, err = s.lines(ctx, group, sums); err != nil {
		return nil, err
	}
	for i := range out.Lines {
		out.Total.Add(out.Lines[i].Total)
	}
	const day = 86400
	if from%day == 0 && to%day == 0 {
		k, ok, err := s.Statistics.Distinct(ctx, f, Day(from/day), Day(to/day))
		if err != nil {
			return nil, err
		}
		if ok {
			n, exact := k.Count()
			out.Distinct = &Distinct{n, exact}
		}
		if to-from == day { // one day: the first scans of the day are counted one by one
			out.Distinct = &Distinct{out.Total.FirstsOfDay, true}
		}
	}
	return out, nil
}

// lines puts sums that are sorted by time into a line for each value, the largest
// first.
func (s *Service) lines(ctx context.Context, group Dimension, sums []Sum) ([]Line, error) {
	type value struct {
		number   int64
		province string
	}
	totals := map[value]*Counts{}
	for _, u := range sums {
		v := value{u.Number, u.Province}
		if totals[v] == nil {
			totals[v] = &Counts{}
		}
		totals[v].Add(u.Counts)
	}
	order := slices.SortedFunc(maps.Keys(totals), func(a, b value) int {
		return cmp.Or(cmp.Compare(totals[b].Scans, totals[a].Scans), cmp.Compare(a.number, b.number), cmp.Compare(a.province, b.province))
	})
	lines := make([]Line, 0, min(len(order), groupsMax+1))
	place := map[value]int{}
	for i, v := range order {
		if place[v] = min(i, groupsMax); i > groupsMax {
			lines[groupsMax].Total.Add(*totals[v])
			continue
		}
		line := Line{Others: i == groupsMax, Total: *totals[v]}
		if !line.Others {
			if err := s.name(ctx, &line, group, v.number, v.province); err != nil {
				return nil, err
			}
		}
		lines = append(lines, line)
	}
	for _, u := range sums {
		line := &lines[place[value{u.Number, u.Province}]]
		start := time.Unix(u.Start, 0).UTC()
		if n := len(line.Points); n > 0 && line.Points[n-1].Start.Equal(start) {
			line.Points[n-1].Add(u.Counts) // of others
			continue
		}
		line.Points = append(line.Points, Point{start, u.Counts})
	}
	return lines, nil
}

// name says what a value stands for.
func (s *Service) name(ctx context.Context, l *Line, group Dimension, number int64, province string) error {
	switch group {
	case ByBrand:
		l.Brand = ids.BrandID(number)
	case ByProduct:
		l.Product = ids.ProductID(number)
	case ByBatch:
		b, ok, err := s.Catalog.BatchAt(ctx, ids.Serial(number))
		if err != nil {
			return err
		}
		if ok {
			l.Batch = &b
		}
	case ByProvince:
		l.Province = province
	case ByVerdict:
		l.Verdict = VerdictName(uint8(number))
	case ByNothing:
	}
	return nil
}

// Top is a top list.
type Top struct {
	Group    Dimension
	From, To time.Time // as widened to whole hours or days
	Lines    []Line    // without points
	Total    Counts    // of all, also those that are not listed
	Freshness
}

// Top lists the values with the most scans. Ranges up to 48 h are made of hours,
// longer ones of days.
func (s *Service) Top(ctx context.Context, q Question, group Dimension, limit int) (*Top, error) {
	f, err := s.filter(ctx, q)
	if err != nil {
		return nil, err
	}
	by := EachDay
	if now := s.Clock.Now(); !q.From.IsZero() && (q.To.IsZero() && now.Sub(q.From) <= topHours || !q.To.IsZero() && q.To.Sub(q.From) <= topHours && now.Sub(q.From) < hoursReach) {
		by = Hour
	}
	from, to, err := s.stretch(q, by)
	if err != nil {
		return nil, err
	}
	fresh, err := s.freshness(ctx, GroupStatistics)
	if err != nil {
		return nil, err
	}
	sums, err := s.Statistics.Sum(ctx, SumAsk{Filter: f, Grain: by, From: from, To: to, By: group, Whole: true, RowsMax: rowsMax})
	if err != nil {
		return nil, err
	}
	out := &Top{Group: group, From: time.Unix(from, 0).UTC(), To: time.Unix(to, 0).UTC(), Freshness: fresh}
	sums = slices.Clone(sums) // they may be shared
	slices.SortStableFunc(sums, func(a, b Sum) int { return cmp.Compare(b.Scans, a.Scans) })
	for i, u := range sums {
		out.Total.Add(u.Counts)
		if i >= limit {
			continue
		}
		line := Line{Total: u.Counts}
		if err := s.name(ctx, &line, group, u.Number, u.Province); err != nil {
			return nil, err
		}
		out.Lines = append(out.Lines, line)
	}
	return out, nil
}

// hoursReach is how far back hours surely are kept.
const hoursReach = 89 * 24 * time.Hour

// TopCodeView is a code that was scanned much.
type TopCodeView struct {
	Code string
	TopCode
}

// TopCodes lists a brand's most scanned codes of all time.
func (s *Service) TopCodes(ctx context.Context, brand ids.BrandID, limit int) ([]TopCodeView, Freshness, error) {
	if _, err := s.Catalog.Brand(ctx, brand); err != nil {
		return nil, Freshness{}, err
	}
	fresh, err := s.freshness(ctx, GroupStatistics)
	if err != nil {
		return nil, fresh, err
	}
	all, err := s.Statistics.TopCodes(ctx, brand, limit)
	out := make([]TopCodeView, len(all))
	for i, c := range all {
		out[i] = TopCodeView{s.Codes.Code(c.Serial), c}
	}
	return out, fresh, err
}
