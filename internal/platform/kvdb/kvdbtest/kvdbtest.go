// Package kvdbtest is a disk whose power fails, for tests of what is kept on it.
//
// Promise: what a crash leaves is what a journaling file system may leave: all that
// was synced, some of the rest, and directories in their order.
package kvdbtest

import (
	"io"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/atomicfs"
)

// FS keeps a crash away from the calls in which MemFS takes its clone lock twice: one
// that waits in between would stop both for ever.
type FS struct {
	*vfs.MemFS

	mu   sync.RWMutex
	dirs []string // of databases
}

// New makes an empty disk that will hold databases in these directories.
func New(dirs ...string) *FS { return &FS{MemFS: vfs.NewCrashableMem(), dirs: dirs} }

// Lock implements vfs.FS.
func (f *FS) Lock(name string) (io.Closer, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.MemFS.Lock(name)
}

// Link implements vfs.FS.
func (f *FS) Link(from, to string) error {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.MemFS.Link(from, to)
}

// ReuseForWrite implements vfs.FS.
func (f *FS) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.MemFS.ReuseForWrite(from, to, c)
}

// Crash is the disk as a power failure at this moment leaves it.
func (f *FS) Crash(cfg vfs.CrashCloneCfg) *FS {
	f.mu.Lock()
	defer f.mu.Unlock()
	left := f.CrashClone(cfg)
	for _, dir := range f.dirs {
		if !ordered(left, dir) {
			left = f.CrashClone(vfs.CrashCloneCfg{})
		}
	}
	return &FS{MemFS: left, dirs: f.dirs}
}

// ordered reports that a disk kept what it was not told to keep in its order. The
// engine makes a manifest and then, before one sync of the directory, the marker that
// names it: a journaling file system never keeps the second without the first, MemFS
// does, about once in 20,000 crashes.
func ordered(fs vfs.FS, dir string) bool {
	manifest, err := atomicfs.ReadMarker(fs, dir, "manifest")
	if err != nil || manifest == "" {
		return true // was not made yet
	}
	_, err = fs.Stat(fs.PathJoin(dir, manifest))
	return err == nil
}
