package idem

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
)

// Attempt is one of several requests whose effects share a transaction.
type Attempt struct {
	Request ids.Request
	Effect  string // names the effect that it would have: a new name, which tells who won
}

// Outcome is what became of an attempt.
type Outcome struct {
	Effect   string
	Replayed bool
	Err      error
}

// Together is Once for several requests, whose effects share one transaction. fn brings
// about those that had none, by their places in attempts, and may refuse some: of them
// nothing must stay, and they are not remembered. Like every function of a transaction
// it may run again.
//
// The error is for all: nothing of any attempt stays then. A commit whose answer was
// lost is settled as Once does; the attempts without a key stay unknown.
func Together(ctx context.Context, db *sqldb.DB, c clock.Clock, attempts []Attempt, fn func(ctx context.Context, tx *sqldb.Tx, fresh []int) (refused map[int]error, _ error)) ([]Outcome, error) {
	g := &group{dialect: db.Dialect(), attempts: attempts, out: make([]Outcome, len(attempts))}
	first := g.admit()
	for try := range settleTriesMax {
		err := db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
			return g.run(ctx, tx, c.Now(), try > 0, fn)
		})
		if err == nil || errors.Is(err, errNothingStays) {
			break
		}
		if try == 0 && !errors.Is(err, sqldb.ErrUnknownOutcome) {
			return nil, err
		}
		if !g.lost(err) {
			break
		}
	}
	g.answerSame(first)
	return g.out, nil
}

// group is the attempts of one transaction.
type group struct {
	dialect  sqldb.Dialect
	attempts []Attempt
	mine     []int // those that the transaction is about, in the order of their keys
	out      []Outcome
}

// errNothingStays rolls back a transaction in which nobody had an effect.
var errNothingStays = errors.New("idem: nothing stays")

// admit leaves out requests that come twice, and gives the first of each key.
func (g *group) admit() map[[32]byte]int {
	first := make(map[[32]byte]int, len(g.attempts))
	for i, a := range g.attempts {
		if _, again := first[a.Request.Key]; !again || a.Request.IsZero() {
			first[a.Request.Key] = i
			g.mine = append(g.mine, i)
		}
	}
	slices.SortStableFunc(g.mine, func(a, b int) int {
		return bytes.Compare(g.attempts[a].Request.Key[:], g.attempts[b].Request.Key[:])
	})
	return first
}

// answerSame answers the requests that came twice as the first of them.
func (g *group) answerSame(first map[[32]byte]int) {
	for i, a := range g.attempts {
		lead := first[a.Request.Key]
		if a.Request.IsZero() || lead == i {
			continue
		}
		same := a.Request.Body == g.attempts[lead].Request.Body
		switch o := g.out[lead]; {
		case same:
			g.out[i] = Outcome{o.Effect, o.Err == nil, o.Err}
		case o.Err == nil:
			g.out[i] = Outcome{Err: ErrMismatch}
		default: // the first had no effect, so this one may have
			g.out[i] = Outcome{Err: ErrRunning}
		}
	}
}

// lost notes that the outcome of a commit is unknown, or is still. It reports whether
// there is anybody whom the next try can settle.
func (g *group) lost(why error) bool {
	if !errors.Is(why, sqldb.ErrUnknownOutcome) {
		why = sqldb.ErrUnknownOutcome.Because(why) // nothing of this try stays, but of the one before
	}
	for _, i := range g.mine {
		if g.attempts[i].Request.IsZero() && g.out[i].Err != nil {
			continue // it was refused, whatever became of the others
		}
		g.out[i] = Outcome{Err: why}
	}
	g.mine = slices.DeleteFunc(g.mine, func(i int) bool { return g.attempts[i].Request.IsZero() })
	return len(g.mine) > 0
}

// run is one transaction. After a lost commit the rows may be there under the very
// effects of the attempts, so that who wins then is told by names that are newer.
func (g *group) run(ctx context.Context, tx *sqldb.Tx, now time.Time, settle bool, fn func(context.Context, *sqldb.Tx, []int) (map[int]error, error)) error {
	names := make([]string, len(g.attempts))
	var keyed []int
	for _, i := range g.mine {
		names[i] = g.attempts[i].Effect
		if settle {
			names[i] = ids.New("try")
		}
		if !g.attempts[i].Request.IsZero() {
			keyed = append(keyed, i)
		}
	}
	if err := g.insert(ctx, tx, now, keyed, names); err != nil {
		return err
	}
	had, err := g.find(ctx, tx, keyed)
	if err != nil {
		return err
	}
	var fresh []int
	for i := range g.attempts {
		if names[i] == "" {
			continue // not of this transaction
		}
		r := g.attempts[i].Request
		row, there := had[r.Key]
		switch {
		case r.IsZero(), there && row.effect == names[i]:
			fresh = append(fresh, i)
		case !there:
			return fmt.Errorf("find request: %w", errLost)
		case !bytes.Equal(row.body, r.Body[:]):
			g.out[i] = Outcome{Err: ErrMismatch}
		default:
			g.out[i] = Outcome{Effect: row.effect, Replayed: true}
		}
	}
	return g.bringAbout(ctx, tx, fresh, settle, fn)
}

var errLost = errors.New("idem: a row is missing that its own transaction wrote")

// bringAbout lets fn have the effects, and forgets the requests that it refuses.
func (g *group) bringAbout(ctx context.Context, tx *sqldb.Tx, fresh []int, settle bool, fn func(context.Context, *sqldb.Tx, []int) (map[int]error, error)) error {
	if len(fresh) == 0 {
		return errNothingStays
	}
	refused, err := fn(ctx, tx, fresh)
	if err != nil {
		return err
	}
	var forget []any
	for _, i := range fresh {
		a := g.attempts[i]
		if err := refused[i]; err != nil {
			g.out[i] = Outcome{Err: err}
			if !a.Request.IsZero() {
				forget = append(forget, a.Request.Key[:])
			}
			continue
		}
		g.out[i] = Outcome{Effect: a.Effect}
		if settle {
			if err := remember(ctx, tx, a.Request, a.Effect); err != nil {
				return err
			}
		}
	}
	if len(refused) == len(fresh) {
		return errNothingStays
	}
	if len(forget) == 0 {
		return nil
	}
	query := `DELETE FROM idempotency WHERE key_hash IN (?` + strings.Repeat(`,?`, len(forget)-1) + `)`
	if _, err := tx.ExecContext(ctx, query, forget...); err != nil {
		return fmt.Errorf("forget refused requests: %w", err)
	}
	return nil
}

// What is there stays as it is, in the words of both dialects. Unlike INSERT IGNORE it
// hides no other failure.
const (
	insertRow       = `(?,?,?,?)`
	insertNew       = `INSERT INTO idempotency (key_hash, body, effect, created_at) VALUES ` + insertRow
	keepOthers      = ` ON CONFLICT DO NOTHING`
	keepOthersMySQL = ` ON DUPLICATE KEY UPDATE created_at = created_at`
)

// insert makes the rows that are not there. Where another transaction makes one of them
// it waits for that.
func (g *group) insert(ctx context.Context, tx *sqldb.Tx, now time.Time, keyed []int, names []string) error {
	if len(keyed) == 0 {
		return nil
	}
	args := make([]any, 0, 4*len(keyed))
	for _, i := range keyed {
		r := &g.attempts[i].Request
		args = append(args, r.Key[:], r.Body[:], names[i], sqldb.Micros(now))
	}
	query := insertNew + strings.Repeat(`,`+insertRow, len(keyed)-1) + keepOthers
	if g.dialect == sqldb.MySQL {
		query = insertNew + strings.Repeat(`,`+insertRow, len(keyed)-1) + keepOthersMySQL
	}
	_, err := tx.ExecContext(ctx, query, args...)
	if sqldb.IsLockWait(err) {
		return ErrRunning
	}
	if err != nil {
		return fmt.Errorf("take requests: %w", err)
	}
	return nil
}

type row struct {
	key    [32]byte
	body   []byte
	effect string
}

func (g *group) find(ctx context.Context, tx *sqldb.Tx, keyed []int) (map[[32]byte]row, error) {
	if len(keyed) == 0 {
		return nil, nil
	}
	args := make([]any, 0, len(keyed))
	for _, i := range keyed {
		args = append(args, g.attempts[i].Request.Key[:])
	}
	query := `SELECT key_hash, body, effect FROM idempotency WHERE key_hash IN (?` + strings.Repeat(`,?`, len(keyed)-1) + `)`
	all, err := sqldb.Collect(ctx, tx, func(r *sql.Rows) (o row, err error) {
		var key []byte
		err = r.Scan(&key, &o.body, &o.effect)
		copy(o.key[:], key)
		return o, err
	}, query, args...)
	if err != nil {
		return nil, fmt.Errorf("find requests: %w", err)
	}
	had := make(map[[32]byte]row, len(all))
	for _, o := range all {
		had[o.key] = o
	}
	return had, nil
}
