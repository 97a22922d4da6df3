package batchsql

import (
	"context"
	"fmt"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/idem"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/platform/task"
)

const (
	claimsTogether = 256   // of one transaction: beyond it the rows cost more than the commit
	claimsWaiting  = 8_192 // in all
)

// claimAct is a claim that shares a transaction with others of its shard.
type claimAct struct {
	request ids.Request
	ask     batch.ClaimAsk
	task    *batch.NewTask
}

// claimed is the answer to a claimAct.
type claimed struct {
	claims []batch.Claim
	idem.Outcome
}

// effect is the name that the act is remembered by.
func (a *claimAct) effect() string {
	if a.ask.Quantity == 0 && a.task != nil {
		return string(a.task.ID)
	}
	return ids.NewIn(a.ask.Shard, "clm")
}

// Claim implements batch.Claims.
func (s *Store) Claim(ctx context.Context, r ids.Request, ask batch.ClaimAsk, born *batch.NewTask) ([]batch.Claim, string, bool, error) {
	done, err := s.claims.Do(ctx, ask.Shard, claimAct{r, ask, born})
	if err != nil {
		return nil, "", false, fmt.Errorf("claim: %w", err)
	}
	return done.claims, done.Effect, done.Replayed, nil
}

// claimTogether is one transaction of the combiner.
func (s *Store) claimTogether(ctx context.Context, acts []claimAct) ([]sqldb.Outcome[claimed], error) {
	attempts := make([]idem.Attempt, len(acts))
	for i := range acts {
		attempts[i] = idem.Attempt{Request: acts[i].request, Effect: acts[i].effect()}
	}
	claims := make([][]batch.Claim, len(acts))
	outcomes, err := idem.Together(ctx, s.db, s.clock, attempts, func(ctx context.Context, tx *sqldb.Tx, fresh []int) (map[int]error, error) {
		clear(claims)
		return claimFresh(ctx, tx, acts, attempts, fresh, claims)
	})
	if err != nil {
		return nil, err
	}
	out := make([]sqldb.Outcome[claimed], len(acts))
	for i, o := range outcomes {
		out[i] = sqldb.Outcome[claimed]{Value: claimed{claims[i], o}, Err: o.Err}
		if o.Replayed {
			out[i].Value.claims = nil // whoever asks again reads what the effect left
		}
	}
	return out, nil
}

// claimFresh carves the claims of acts out of their pools, in the order in which they
// came, and writes what has changed.
func claimFresh(ctx context.Context, tx *sqldb.Tx, acts []claimAct, attempts []idem.Attempt, fresh []int, claims [][]batch.Claim) (refused map[int]error, _ error) {
	asks := make([]batch.ClaimAsk, len(fresh))
	for n, i := range fresh {
		asks[n] = acts[i].ask
	}
	pools, err := lockPools(ctx, tx, asks)
	if err != nil {
		return nil, err
	}
	refused = map[int]error{}
	var all []batch.Claim
	var born []task.Task
	for _, i := range fresh {
		act := &acts[i]
		taken, err := pools.find(act.ask)
		if err != nil {
			refused[i] = err
			continue
		}
		mine := act.claimsOf(taken, attempts[i].Effect)
		if act.task != nil {
			t, err := newTask(act.task, act.ask.BatchID, mine)
			if err != nil {
				refused[i] = err
				continue
			}
			born = append(born, t)
		}
		pools.take(act.ask.BatchID, taken)
		claims[i], all = mine, append(all, mine...)
	}
	if len(refused) == len(fresh) {
		return refused, nil // it is rolled back
	}
	if err := pools.save(ctx, tx); err != nil {
		return nil, err
	}
	if err := insertClaims(ctx, tx, all...); err != nil {
		return nil, err
	}
	for _, t := range born {
		if err := task.Insert(ctx, tx, t); err != nil {
			return nil, err
		}
	}
	return refused, nil
}

// claimsOf makes the claims of what an act has taken.
func (a *claimAct) claimsOf(taken batch.Runs, effect string) []batch.Claim {
	var all []batch.Claim
	for _, run := range taken {
		c := batch.Claim{
			ID: ids.ClaimID(effect), BatchID: a.ask.BatchID, Claimant: a.ask.Claimant,
			From: run.From, To: run.To, CreatedAt: a.ask.CreatedAt,
		}
		if a.ask.Quantity == 0 { // the blocks of a run: the effect is their task's
			c.ID = ids.ClaimID(ids.NewIn(a.ask.Shard, "clm"))
		}
		if a.task != nil {
			c.TaskID = a.task.ID
		}
		all = append(all, c)
	}
	return all
}
