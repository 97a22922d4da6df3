// Package clock is the only door to the wall clock, so that every rule about time
// can be tested.
package clock

import "time"

// Clock tells the time.
type Clock interface {
	// Now is the present time in UTC, cut to microseconds (what every store keeps).
	Now() time.Time
}

// System is the machine's clock.
type System struct{}

// Now implements Clock.
func (System) Now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

// Func makes a Clock of a function, for tests and replays.
type Func func() time.Time

// Now implements Clock.
func (f Func) Now() time.Time { return f().UTC().Truncate(time.Microsecond) }
