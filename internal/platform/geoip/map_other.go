//go:build !linux && !darwin && !freebsd

package geoip

import (
	"io"
	"os"
)

// mapping is a file in memory, read whole where we have no way to map it.
type mapping struct {
	data []byte
}

// mapFile reads size bytes of f.
func mapFile(f *os.File, size int64) (*mapping, error) {
	data := make([]byte, size)
	if _, err := io.ReadFull(f, data); err != nil {
		return nil, err
	}
	return &mapping{data}, nil
}
