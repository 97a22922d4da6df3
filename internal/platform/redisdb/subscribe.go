package redisdb

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/rueidis"
)

// Subscribe listens to channels on a connection of its own until it is lost or ctx ends;
// its error says which. joined is called once the server sends what is published from
// then on. What is published while nobody listens is lost, so whoever comes back looks
// for himself. heard is called by one goroutine and must not wait.
func (d *DB) Subscribe(ctx context.Context, channels []string, joined func(), heard func(message string)) error {
	conn, release := d.Dedicate()
	defer release()
	ended := conn.SetPubSubHooks(rueidis.PubSubHooks{OnMessage: func(m rueidis.PubSubMessage) { heard(m.Message) }})
	ask, cancel := context.WithTimeout(ctx, replyTimeout)
	defer cancel()
	if err := conn.Do(ask, conn.B().Subscribe().Channel(channels...).Build()).Error(); err != nil {
		return fmt.Errorf("subscribe in Redis: %w", err)
	}
	joined()
	select {
	case err := <-ended:
		if err == nil {
			err = errors.New("the connection ended")
		}
		return fmt.Errorf("listen to Redis: %w", err)
	case <-ctx.Done():
		return ctx.Err()
	}
}
