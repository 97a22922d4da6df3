//go:build !linux

package argon

// yield does nothing: only Linux has a priority for each thread.
func yield() {}
