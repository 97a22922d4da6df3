package redisdb

import (
	"context"
	"time"

	"github.com/redis/rueidis"
)

// Tell wakes who hears a channel. It is best effort: who must not miss anything polls too.
func (d *DB) Tell(channel string) {
	_ = d.Guard(func(ctx context.Context) error { // a poll finds what was not told
		return d.Do(ctx, d.B().Publish().Channel(channel).Message("").Build()).Error()
	})
}

// hearAgain is the pause after a subscription was lost.
const hearAgain = time.Second

// Hear calls fn for each time that the channel is told, and once for each time that the
// subscription was lost, until ctx ends.
func (d *DB) Hear(ctx context.Context, channel string, fn func()) {
	for ctx.Err() == nil {
		_ = d.Receive(ctx, d.B().Subscribe().Channel(channel).Build(), func(rueidis.PubSubMessage) { fn() }) // it always ends with an error
		fn()
		pause := time.NewTimer(hearAgain)
		select {
		case <-pause.C:
		case <-ctx.Done():
		}
		pause.Stop()
	}
}
