//go:build linux || darwin || freebsd

package geoip

import (
	"os"
	"runtime"
	"syscall"
)

// mapping is a file in memory. It is unmapped when nothing refers to it any more,
// and not before: a Lookup that runs during Close still reads it.
type mapping struct {
	data []byte
}

// mapFile maps size bytes of f, which may be closed afterwards.
func mapFile(f *os.File, size int64) (*mapping, error) {
	data, err := syscall.Mmap(int(f.Fd()), 0, int(size), syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return nil, err
	}
	m := &mapping{data}
	runtime.AddCleanup(m, func(data []byte) {
		_ = syscall.Munmap(data) // nobody is left who could be told
	}, data)
	return m, nil
}
