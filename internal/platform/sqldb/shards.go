package sqldb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/chopmark/chopmark/internal/ids"
)

// What keeps a set of databases from being used.
var (
	ErrOtherInstallation = errors.New("this database is not of this installation")
	ErrSameDatabase      = errors.New("this database was named twice by different addresses: name it by one")
	ErrMoved             = errors.New("a shard's records stay where the first start put them, moving them needs a migration: start with the databases that it had")
)

// Shards are the databases of an installation: its home, which has what belongs to no
// shard, and of each shard the one that has all of it. It is safe for concurrent use.
type Shards struct {
	of       [ids.Shards]*DB
	all      []*DB // each once, the home first
	replicas *replicas
}

// One is an installation with one database.
func One(db *DB) *Shards {
	s := &Shards{all: []*DB{db}}
	for i := range s.of {
		s.of[i] = db
	}
	return s
}

// Join puts databases of servers together: shards that are nil stay in the home. It refuses
// databases of another installation, and shards that are not where the first start
// put them.
func Join(ctx context.Context, home *DB, of [ids.Shards]*DB) (*Shards, error) {
	s := One(home)
	at, old, err := home.settle(ctx, "")
	if err != nil {
		return nil, err
	}
	home.place = at.id
	places := map[*DB]string{home: at.id}
	for i, db := range of {
		if db == nil {
			continue
		}
		s.of[i] = db
		if _, known := places[db]; known {
			continue
		}
		p, _, err := db.settle(ctx, at.installation)
		switch {
		case err != nil:
			return nil, err
		case p.installation != at.installation:
			return nil, fmt.Errorf("%w: %s belongs to %s, %s to %s", ErrOtherInstallation, db.name, p.installation, home.name, at.installation)
		}
		for other, id := range places {
			if id == p.id {
				return nil, fmt.Errorf("%w: %s and %s", ErrSameDatabase, other.name, db.name)
			}
		}
		places[db], db.place = p.id, p.id
		s.all = append(s.all, db)
	}
	if err := s.hold(ctx, places, old); err != nil {
		return nil, err
	}
	return s, nil
}

// hold compares the shards with those of the first start; old records are all in the home.
func (s *Shards) hold(ctx context.Context, places map[*DB]string, old bool) error {
	now := make([]string, len(s.of))
	for i, db := range s.of {
		now[i] = places[db]
	}
	first := strings.Join(now, ",")
	if old {
		first = strings.Join(slices.Repeat([]string{places[s.Home()]}, len(s.of)), ",")
	}
	kept, err := s.Home().keepShards(ctx, first)
	if err != nil {
		return err
	}
	for i, id := range strings.Split(kept, ",") {
		if i >= len(now) || id != now[i] {
			return fmt.Errorf("%w; shard %d is not in %s", ErrMoved, i, s.of[min(i, len(now)-1)].name)
		}
	}
	return nil
}

// Home has what belongs to no shard.
func (s *Shards) Home() *DB { return s.all[0] }

// Of has all of a shard; the home has those that nobody can issue.
func (s *Shards) Of(shard ids.Shard) *DB {
	if int(shard) >= len(s.of) {
		return s.Home()
	}
	return s.of[shard]
}

// Named is where what has this identifier is, if anywhere.
func (s *Shards) Named(id string) *DB {
	if shard, ok := ids.ShardIn(id); ok {
		return s.of[shard]
	}
	return s.Home()
}

// All gives each database once, the home first.
func (s *Shards) All() []*DB { return s.all }

// Ping reports whether all databases answer.
func (s *Shards) Ping(ctx context.Context) error {
	for _, db := range s.all {
		if err := db.Ping(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Close ends all connections.
func (s *Shards) Close() error {
	var errs []error
	if s.replicas != nil {
		errs = append(errs, s.replicas.close())
	}
	for _, db := range s.all {
		errs = append(errs, db.Close())
	}
	return errors.Join(errs...)
}
