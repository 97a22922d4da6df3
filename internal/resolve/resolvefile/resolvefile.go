// Package resolvefile keeps links on the disk of a process without SQL, so that it
// resolves them also after a start while it is cut off.
//
// Promise: what Append returned nil for is there at the next Open; a file that was cut
// off in the middle of a line is read up to that line (TestCutShort).
package resolvefile

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/chopmark/chopmark/internal/resolve"
)

// Journal is a file of records, a line each, the newest last.
type Journal struct {
	path string
	f    *os.File
}

// lineMax is more than a set of links takes.
const lineMax = 4 << 20

// Open reads the journal, one record for each name in the order of their versions, and
// writes it anew without those that were replaced.
func Open(path string) (*Journal, []resolve.Record, error) {
	raw, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, nil, fmt.Errorf("read links: %w", err)
	}
	records := newest(raw)
	j := &Journal{path: path}
	if err := j.rewrite(records); err != nil {
		return nil, nil, err
	}
	return j, records, nil
}

// newest reads lines up to the first that is damaged, and leaves out what a later line
// replaces.
func newest(raw []byte) []resolve.Record {
	var all []resolve.Record
	last := map[string]int{}
	lines := bufio.NewScanner(bytes.NewReader(raw))
	lines.Buffer(nil, lineMax)
	for lines.Scan() {
		var r resolve.Record
		if json.Unmarshal(lines.Bytes(), &r) != nil {
			break
		}
		last[r.Name] = len(all)
		all = append(all, r)
	}
	kept := all[:0]
	for i, r := range all {
		if last[r.Name] == i {
			kept = append(kept, r)
		}
	}
	return kept
}

// rewrite puts a whole new file in the place of the old one and goes on with that.
func (j *Journal) rewrite(records []resolve.Record) error {
	if j.f != nil {
		if err := j.f.Close(); err != nil {
			return fmt.Errorf("close links: %w", err)
		}
		j.f = nil
	}
	f, err := os.OpenFile(j.path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("write links: %w", err)
	}
	if err := errors.Join(write(f, records), f.Close(), os.Rename(j.path+".new", j.path), syncDir(filepath.Dir(j.path))); err != nil {
		return fmt.Errorf("write links: %w", err)
	}
	if j.f, err = os.OpenFile(j.path, os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
		return fmt.Errorf("open links: %w", err)
	}
	return nil
}

func write(f *os.File, records []resolve.Record) error {
	var lines bytes.Buffer
	enc := json.NewEncoder(&lines)
	for i := range records {
		if err := enc.Encode(&records[i]); err != nil {
			return err
		}
	}
	if _, err := f.Write(lines.Bytes()); err != nil {
		return err
	}
	return f.Sync()
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// Append keeps records.
func (j *Journal) Append(records []resolve.Record) error {
	if err := write(j.f, records); err != nil {
		return fmt.Errorf("append links: %w", err)
	}
	return nil
}

// Reset forgets everything.
func (j *Journal) Reset() error { return j.rewrite(nil) }

// Close ends the use of the file.
func (j *Journal) Close() error { return j.f.Close() }
