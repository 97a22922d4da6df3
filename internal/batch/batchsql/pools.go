package batchsql

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
)

// pools are free blocks of batches whose pools are locked: as many as the asks that
// they were read for can need, so that a heap of small blocks is not read as a whole.
type pools map[ids.BatchID]*pool

type pool struct{ was, free batch.Runs }

// free is what to look for in a batch: blocks of at least so many numbers, or blocks
// that have to do with a run.
type free struct {
	batch    ids.BatchID
	quantity int64
	within   batch.Run
}

func freeFor(ask batch.ClaimAsk) free {
	if ask.Quantity > 0 {
		return free{ask.BatchID, ask.Quantity, batch.Run{From: 0, To: math.MaxInt64}}
	}
	return free{ask.BatchID, 0, ask.Within}
}

const (
	freeWidth = 5
	// A derived table, because SQLite cuts none but the last of a UNION.
	selectFree = `SELECT batch_id, from_no, to_no FROM (SELECT batch_id, from_no, to_no FROM pool_free
		WHERE batch_id = ? AND from_no <= ? AND to_no >= ? AND to_no - from_no + 1 >= ? ORDER BY from_no LIMIT ?) AS f`
	termsMax = 64 // of one statement
)

// lockPools locks the pools of the asks' batches and reads what is free in them.
func lockPools(ctx context.Context, tx *sqldb.Tx, asks []batch.ClaimAsk) (pools, error) {
	ps := pools{}
	wanted := map[free]bool{}
	// An ask for a block takes from one block, so the last of as many as there are asks
	// is whole yet when the others were served. An ask for a run may take from any number.
	limit := map[ids.BatchID]int64{}
	for _, ask := range asks {
		if ask.Quantity == 0 && ask.Within == (batch.Run{}) {
			continue
		}
		ps[ask.BatchID] = &pool{}
		wanted[freeFor(ask)] = true
		if ask.Quantity == 0 {
			limit[ask.BatchID] = math.MaxInt64 - claimsTogether
		}
		limit[ask.BatchID]++
	}
	if len(ps) == 0 {
		return ps, nil
	}
	if err := lockPool(ctx, tx, slices.Sorted(maps.Keys(ps))...); err != nil {
		return nil, err
	}
	var args []any
	for f := range wanted {
		args = append(args, f.batch, f.within.To, f.within.From, f.quantity, limit[f.batch])
	}
	return ps, ps.read(ctx, tx, args)
}

// read adds the blocks that the arguments of selectFree name.
func (ps pools) read(ctx context.Context, tx *sqldb.Tx, args []any) error {
	for chunk := range slices.Chunk(args, termsMax*freeWidth) {
		query := selectFree + strings.Repeat(` UNION ALL `+selectFree, len(chunk)/freeWidth-1)
		blocks, err := sqldb.Collect(ctx, tx, scanFree, query, chunk...)
		if err != nil {
			return fmt.Errorf("find free blocks: %w", err)
		}
		for _, b := range blocks {
			p := ps[b.BatchID]
			p.was = append(p.was, batch.Run{From: b.From, To: b.To})
		}
	}
	for _, p := range ps {
		slices.SortFunc(p.was, func(a, b batch.Run) int { return int(a.From - b.From) })
		p.was = slices.Compact(p.was) // several asks may have found it
		p.free = p.was
	}
	return nil
}

// find gives what the ask may take.
func (ps pools) find(ask batch.ClaimAsk) (batch.Runs, error) {
	p := ps[ask.BatchID]
	switch {
	case p == nil:
		return nil, nil
	case ask.Quantity == 0:
		return p.free.Intersect(batch.Runs{ask.Within}), nil
	}
	for _, r := range p.free {
		if r.Len() >= ask.Quantity {
			return batch.Runs{{From: r.From, To: r.From + ask.Quantity - 1}}, nil
		}
	}
	return nil, batch.ErrExhausted
}

// take takes what find gave.
func (ps pools) take(b ids.BatchID, taken batch.Runs) {
	if p := ps[b]; p != nil {
		p.free = p.free.Minus(taken)
	}
}

// save writes what has changed: blocks that were cut go, and what is left of them comes.
func (ps pools) save(ctx context.Context, tx *sqldb.Tx) error {
	var gone, left []any
	for _, b := range slices.Sorted(maps.Keys(ps)) {
		p := ps[b]
		gone = append(gone, without(b, p.was, p.free)...)
		left = append(left, without(b, p.free, p.was)...)
	}
	const width = 3
	for chunk := range slices.Chunk(gone, termsMax*width) {
		query := `DELETE FROM pool_free WHERE batch_id = ? AND from_no = ? AND to_no = ?` +
			strings.Repeat(` OR batch_id = ? AND from_no = ? AND to_no = ?`, len(chunk)/width-1)
		r, err := tx.ExecContext(ctx, query, chunk...)
		if err := allChanged(len(chunk)/width, r, err); err != nil {
			return fmt.Errorf("take free blocks: %w", err)
		}
	}
	return putFree(ctx, tx, left)
}

// without are the blocks of a batch that are in some and not, as they are, in others.
func without(b ids.BatchID, some, others batch.Runs) (args []any) {
	for _, r := range some {
		if _, same := slices.BinarySearchFunc(others, r, compareRuns); !same {
			args = append(args, b, r.From, r.To)
		}
	}
	return args
}

func compareRuns(a, b batch.Run) int {
	if a.From != b.From {
		return int(a.From - b.From)
	}
	return int(a.To - b.To)
}

// putFree adds free blocks: batch, first and last number of each.
func putFree(ctx context.Context, tx *sqldb.Tx, blocks []any) error {
	const width = 3
	for chunk := range slices.Chunk(blocks, termsMax*width) {
		query := `INSERT INTO pool_free (batch_id, from_no, to_no) VALUES (?,?,?)` + strings.Repeat(`,(?,?,?)`, len(chunk)/width-1)
		if _, err := tx.ExecContext(ctx, query, chunk...); err != nil {
			return fmt.Errorf("put free blocks: %w", err)
		}
	}
	return nil
}

// lockPool makes transactions over pools of batches wait for each other. A batch's row
// stands for its pool: blocks come and go. The batches are in order, as the rows are.
func lockPool(ctx context.Context, tx *sqldb.Tx, batches ...ids.BatchID) error {
	args := make([]any, len(batches))
	for i, b := range batches {
		args[i] = b
	}
	query := `UPDATE batches SET quantity = quantity WHERE batch_id IN (?` + strings.Repeat(`,?`, len(args)-1) + `)`
	if _, err := tx.ExecContext(ctx, query, args...); err != nil {
		return fmt.Errorf("lock pools: %w", err)
	}
	return nil
}

// scanFree reads a free block as the claim that it would be.
func scanFree(r *sql.Rows) (c batch.Claim, err error) {
	err = r.Scan(&c.BatchID, &c.From, &c.To)
	return c, err
}

// giveBack returns a run to the pool and joins it with its free neighbours.
func giveBack(ctx context.Context, tx *sqldb.Tx, b ids.BatchID, r batch.Run) error {
	const touching = `SELECT from_no, to_no FROM pool_free WHERE batch_id = ? AND (to_no = ? OR from_no = ?)`
	around, err := sqldb.Collect(ctx, tx, scanRun, touching, b, r.From-1, r.To+1)
	if err != nil {
		return fmt.Errorf("find free neighbours: %w", err)
	}
	for _, n := range around {
		if _, err := tx.ExecContext(ctx, `DELETE FROM pool_free WHERE batch_id = ? AND from_no = ?`, b, n.From); err != nil {
			return fmt.Errorf("join free blocks: %w", err)
		}
		r.From, r.To = min(r.From, n.From), max(r.To, n.To)
	}
	return putFree(ctx, tx, []any{b, r.From, r.To})
}
