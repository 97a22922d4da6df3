package app

import (
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/outbox/outboxredis"
)

// pushCommits lets whoever follows the order of commit look at once: after a commit of
// this process, and through Redis after those of others. Each looks by itself, too.
func (a *App) pushCommits() {
	if a.outbox == nil {
		return
	}
	own, others := a.onCommit, append(a.onCommitOfOthers, a.onCommit...)
	a.outbox.OnCommit(func(ids.Shard, int64) { all(own) })
	if a.shared == nil {
		return
	}
	push := outboxredis.New(a.shared.redis, a.log)
	a.outbox.OnCommit(push.Committed)
	a.work.Go(func() { push.Run(a.background, func() { all(others) }) })
}

func all(wakes []func()) {
	for _, wake := range wakes {
		wake()
	}
}
