package tracesql

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/idem"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/trace"
)

// Sharded implements trace.Store over the databases of an installation: the events of a
// brand are wholly in its own, with what finds them. An event's number and a serial name
// their shard. A capture is remembered in the last database that it stores events in, named
// queries and subscriptions at home.
type Sharded struct {
	atHome // the home's

	dbs  *sqldb.Shards
	all  []*Store // as dbs.All
	of   map[*sqldb.DB]*Store
	home *Store
}

var (
	_ trace.Store         = (*Sharded)(nil)
	_ trace.Queries       = (*Sharded)(nil)
	_ trace.Subscriptions = (*Sharded)(nil)
	_ trace.MasterData    = (*Sharded)(nil)
)

// atHome is what is kept in the home alone.
type atHome interface {
	trace.Queries
	trace.Subscriptions
}

// Over makes the store of migrated databases.
func Over(dbs *sqldb.Shards, c clock.Clock) *Sharded {
	s := &Sharded{dbs: dbs, of: map[*sqldb.DB]*Store{}}
	for _, db := range dbs.All() {
		s.of[db] = New(db, c)
		s.all = append(s.all, s.of[db])
	}
	s.home = s.all[0]
	s.atHome = s.home
	return s
}

func (s *Sharded) shard(n ids.Shard) *Store   { return s.of[s.dbs.Of(n)] }
func (s *Sharded) brand(b ids.BrandID) *Store { return s.shard(ids.ShardOf(b)) }

// Heads implements trace.Subscriptions: of each shard what its own database says.
func (s *Sharded) Heads(ctx context.Context) (heads trace.Heads, _ error) {
	for _, one := range s.all {
		has, err := one.Heads(ctx)
		if err != nil {
			return heads, err
		}
		for shard := range ids.Shard(ids.Shards) {
			if s.shard(shard) == one {
				heads[shard] = has[shard]
			}
		}
	}
	return heads, nil
}

// Numbered implements trace.Subscriptions.
func (s *Sharded) Numbered(ctx context.Context, shard ids.Shard, from, to int64) ([]trace.Stored, error) {
	return s.shard(shard).Numbered(ctx, shard, from, to)
}

// askMax is how long a capture waits for what the databases know of its request.
const askMax = 2 * time.Second

// ask asks all databases at once.
func ask[T any](all []*Store, fn func(*Store) (T, error)) ([]T, []error) {
	answers, errs := make([]T, len(all)), make([]error, len(all))
	var asked sync.WaitGroup
	for i, one := range all {
		asked.Go(func() { answers[i], errs[i] = fn(one) })
	}
	asked.Wait()
	return answers, errs
}

// Close is Store's, of all of them.
func (s *Sharded) Close() error {
	_, errs := ask(s.all, func(one *Store) (struct{}, error) { return struct{}{}, one.Close() })
	return errors.Join(errs...)
}

// part is what of a capture one database stores.
type part struct {
	store *Store
	*trace.Capture
}

// Capture implements trace.Store. Each database stores its part in one transaction, and the
// last one the job with it; the others note the part, so that the same request goes on
// where it was cut off. Before the first commit the whole was judged: what can fail
// then is a database.
func (s *Sharded) Capture(ctx context.Context, c *trace.Capture) (trace.Captured, error) {
	if len(s.all) == 1 {
		return s.home.Capture(ctx, c)
	}
	if job, had, err := s.before(ctx, c); err != nil || had {
		return trace.Captured{Job: job, Replayed: had}, err
	}
	parts := s.split(c)
	last := parts[len(parts)-1]
	for i, p := range parts[:len(parts)-1] {
		done, err := p.store.Capture(ctx, p.Capture)
		if err != nil {
			return trace.Captured{}, halfway(i, err)
		}
		last.Job.Results = append(last.Job.Results, done.Job.Results...)
	}
	done, err := last.store.Capture(ctx, last.Capture)
	if err != nil {
		return trace.Captured{}, halfway(len(parts)-1, err)
	}
	return done, nil
}

// halfway is the error of a capture of which so many parts are stored.
func halfway(parts int, err error) error {
	if parts == 0 {
		return err
	}
	return sqldb.ErrUnknownOutcome.Textf("some events of the document are stored, others may not be: send it again with the same Idempotency-Key").Because(err)
}

// before finds the job of the request. A database that does not answer has nothing to say
// about any other's.
func (s *Sharded) before(ctx context.Context, c *trace.Capture) (trace.Job, bool, error) {
	if c.Request.IsZero() {
		return trace.Job{}, false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, askMax)
	defer cancel()
	jobs, errs := ask(s.all, func(one *Store) (job trace.Job, err error) {
		if _, _, err = replay(ctx, one.db.Reader(), partID(c.Job.ID), c.Request); err == nil {
			job, _, err = replay(ctx, one.db.Reader(), c.Job.ID, c.Request)
		}
		return job, err
	})
	for _, err := range errs {
		if errors.Is(err, idem.ErrMismatch) {
			return trace.Job{}, false, err
		}
	}
	for i := range jobs {
		if errs[i] == nil && jobs[i].ID != "" {
			return jobs[i], true, nil
		}
	}
	return trace.Job{}, false, nil
}

// partID names what is remembered of a part. It sorts behind all jobs.
func partID(job string) string { return parts + job }

const parts = "part."

// split gives each database its part, in one order. The last part has the results of
// events that are not stored.
func (s *Sharded) split(c *trace.Capture) []part {
	byStore := map[*Store]*trace.Capture{}
	of := map[int]*trace.Capture{} // by the event's place in the document
	for i := range c.Records {
		one := s.brand(c.Records[i].Brand)
		p := byStore[one]
		if p == nil {
			p = s.empty(c)
			byStore[one] = p
		}
		p.Records, p.At = append(p.Records, c.Records[i]), append(p.At, c.At[i])
		of[c.At[i]] = p
	}
	if len(c.Masters) > 0 {
		one := s.brand(c.MastersOf)
		if byStore[one] == nil {
			byStore[one] = s.empty(c)
		}
		byStore[one].Masters, byStore[one].MastersOf = c.Masters, c.MastersOf
	}
	if len(byStore) == 0 {
		byStore[s.brand(c.Job.Brand)] = s.empty(c)
	}
	var all []part
	for _, one := range s.all {
		if p := byStore[one]; p != nil {
			all = append(all, part{one, p})
		}
	}
	last := all[len(all)-1]
	for _, r := range c.Job.Results {
		p := cmp.Or(of[r.Index], last.Capture)
		p.Job.Results = append(p.Job.Results, r)
	}
	if c.Job.ID != "" {
		for _, p := range all[:len(all)-1] {
			p.Job.ID = partID(c.Job.ID)
		}
	}
	return all
}

// empty is a part without events.
func (*Sharded) empty(c *trace.Capture) *trace.Capture {
	p := &trace.Capture{Request: c.Request, Job: c.Job}
	p.Job.Results = nil
	return p
}

// Job implements trace.Store.
func (s *Sharded) Job(ctx context.Context, id string) (trace.Job, error) {
	jobs, errs := ask(s.all, func(one *Store) (trace.Job, error) { return one.Job(ctx, id) })
	why := error(trace.ErrUnknownJob)
	for i, err := range errs {
		switch {
		case err == nil:
			return jobs[i], nil
		case !errors.Is(err, trace.ErrUnknownJob):
			why = err // it may be there
		}
	}
	return trace.Job{}, why
}

// Jobs implements trace.Store.
func (s *Sharded) Jobs(ctx context.Context, before time.Time, beforeID string, limit int) ([]trace.Job, error) {
	return s.jobs(limit, func(one *Store) ([]trace.Job, error) { return one.Jobs(ctx, before, beforeID, limit) })
}

// JobsOf implements trace.Store. A brand's job stands where its last events went, which may be another's.
func (s *Sharded) JobsOf(ctx context.Context, brand ids.BrandID, before time.Time, beforeID string, limit int) ([]trace.Job, error) {
	return s.jobs(limit, func(one *Store) ([]trace.Job, error) { return one.JobsOf(ctx, brand, before, beforeID, limit) })
}

func (s *Sharded) jobs(limit int, of func(*Store) ([]trace.Job, error)) ([]trace.Job, error) {
	lists, errs := ask(s.all, of)
	all := slices.Concat(lists...)
	slices.SortFunc(all, func(a, b trace.Job) int {
		return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(b.ID, a.ID))
	})
	return all[:min(limit, len(all))], errors.Join(errs...)
}

// Brands implements trace.Store.
func (s *Sharded) Brands(ctx context.Context) ([]ids.BrandID, error) {
	lists, errs := ask(s.all, func(one *Store) ([]ids.BrandID, error) { return one.Brands(ctx) })
	all := slices.Concat(lists...)
	slices.Sort(all)
	return all, errors.Join(errs...)
}

// Scan implements trace.Store.
func (s *Sharded) Scan(ctx context.Context, st trace.Stretch, limit int) ([]trace.Stored, error) {
	return s.brand(st.Brand).Scan(ctx, st, limit)
}

// OfItem implements trace.Store. Only events of its own brand know an item as one of ours.
func (s *Sharded) OfItem(ctx context.Context, serial ids.Serial) ([]trace.Ref, error) {
	return s.shard(serial.Shard()).OfItem(ctx, serial)
}

// OfHashes implements trace.Store.
func (s *Sharded) OfHashes(ctx context.Context, brand ids.BrandID, hashes []trace.Hash) ([]trace.Stored, error) {
	return s.brand(brand).OfHashes(ctx, brand, hashes)
}

// Events implements trace.Store.
func (s *Sharded) Events(ctx context.Context, numbers []int64) ([]trace.Stored, error) {
	byStore := map[*Store][]int64{}
	for _, no := range numbers {
		one := s.shard(shardOf(no))
		byStore[one] = append(byStore[one], no)
	}
	lists, errs := ask(s.all, func(one *Store) ([]trace.Stored, error) { return one.Events(ctx, byStore[one]) })
	return slices.Concat(lists...), errors.Join(errs...)
}

// Packings implements trace.Store. A run is of one brand.
func (s *Sharded) Packings(ctx context.Context, r trace.Run) ([]trace.Ref, error) {
	return s.shard(r.From.Shard()).Packings(ctx, r)
}

// Parents implements trace.Store.
func (s *Sharded) Parents(ctx context.Context, r trace.Run) ([]ids.Serial, error) {
	return s.shard(r.From.Shard()).Parents(ctx, r)
}

// Words implements trace.Store.
func (s *Sharded) Words(ctx context.Context, brand ids.BrandID, kinds []trace.TermKind, after trace.Word, limit int) ([]trace.Word, error) {
	return s.brand(brand).Words(ctx, brand, kinds, after, limit)
}

// Masters implements trace.MasterData.
func (s *Sharded) Masters(ctx context.Context, brand ids.BrandID, vocabulary string) ([]trace.Master, error) {
	return s.brand(brand).Masters(ctx, brand, vocabulary)
}
