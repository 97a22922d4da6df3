package batchfile

import (
	"bytes"
	"context"
	"fmt"
	"hash/crc32"
	"io"
	"runtime"
	"sync"

	"github.com/klauspost/compress/flate"

	"github.com/chopmark/chopmark/internal/batch"
)

// How a file is cut up.
//
// A unit is formatted and deflated by one worker, on its own: it begins with an
// empty window and ends on a byte, so units can be made side by side, and a file
// does not depend on how many workers made it or how often it was taken up again.
// That costs nothing in size: 14.70 bytes a row, 14.71 as one deflate stream.
//
// What was tried for the deflate, on one core of an AMD EPYC, rows of 71 bytes. Of
// the 580 ns that a row takes in all, FF1 has 330, the CRC 2, and what is left beside
// the deflate, formatting and writing, 80:
//
//	klauspost/compress/flate level 1        168 ns   14.7 bytes a row
//	… level 2                               170 ns   14.5
//	… level 3, 6                       216, 470 ns   14.5, 15.6
//	… stateless                             214 ns   16.1
//	… Huffman only                           89 ns   40.6
//	compress/flate level 1                  402 ns   16.8
//	compress/flate level 2                  519 ns   14.9
//
// Eighteen random digits alone hold 7.5 bytes, and an encoder made for these very
// rows would come to 13.4 by our count: level 1 is near that with no code of ours. All in
// all BenchmarkWriteZip gives 1.7 million codes for each second of CPU, 3.2 million a
// second on two cores, in 20 MB; with inner codes 1.05 million, with token links 0.95.
const (
	unitRows     = 1 << 11
	deflateLevel = 1
	// workersMax bounds memory: a worker and its two units hold 2.3 MB, sixteen 37 MB.
	workersMax = 16
)

// position is how far a file has come: what it takes to go on from there.
type position struct {
	Rows   int64  `json:"rows"`   // written
	Offset int64  `json:"offset"` // bytes of the file
	Bytes  int64  `json:"bytes"`  // of text, before compression
	CRC    uint32 `json:"crc"`    // of the text
}

// stream writes one file of rows.
type stream struct {
	position
	rows    *rows
	runs    batch.Runs
	total   int64
	zip     bool
	frame   zipFrame
	workers int
}

func newStream(linker *batch.Linker, runs batch.Runs, format batch.Format, workers int) (*stream, error) {
	if format != batch.FormatCSV && format != batch.FormatNDJSON {
		return nil, errUnknownFormat(format)
	}
	r, err := newRows(linker, format == batch.FormatNDJSON)
	if err != nil {
		return nil, err
	}
	s := &stream{rows: r, runs: runs, total: runs.Count(), zip: format == batch.FormatCSV, workers: workers}
	most, err := s.bytesMax()
	s.frame = zipFrame{at: linker.At().UTC(), big: most >= zipOver}
	return s, err
}

// bytesMax is the most that the file can have, packed or not: no row is longer than
// the last one, and this text never grows when it is deflated.
func (s *stream) bytesMax() (int64, error) {
	const frameBytesMax = 1 << 10
	if s.total == 0 {
		return frameBytesMax, nil
	}
	row, err := s.rows.appendRow(nil, s.runs[len(s.runs)-1].To)
	return frameBytesMax + s.total*int64(len(row)), err
}

// write writes what is missing from the position on. after is called whenever the
// position stands for what w was given, except at the very end.
func (s *stream) write(ctx context.Context, w io.Writer, after func() error) error {
	if s.zip && s.Offset == 0 {
		if err := s.put(w, s.frame.head()); err != nil {
			return err
		}
	}
	if err := s.pump(ctx, w, after); err != nil || !s.zip {
		return err
	}
	if err := s.put(w, deflateEnd()); err != nil {
		return err
	}
	return s.put(w, s.frame.tail(s.CRC, s.Offset-int64(len(s.frame.head())), s.Bytes))
}

func (s *stream) put(w io.Writer, p []byte) error {
	n, err := w.Write(p)
	s.Offset += int64(n)
	return err
}

// unit is the work of one worker at a time.
type unit struct {
	runs   batch.Runs
	rows   int64
	header bool
	text   []byte
	packed bytes.Buffer
	err    error
	ready  chan struct{} // one token for each time that the unit was filled
}

// pump lets workers fill units and writes them in order. It returns when all
// workers have ended.
func (s *stream) pump(ctx context.Context, w io.Writer, after func() error) error {
	ring := make([]*unit, 2*s.workers+1) // enough that no worker waits for the disk
	for i := range ring {
		ring[i] = &unit{ready: make(chan struct{}, 1)}
	}
	jobs := make(chan *unit, len(ring))
	var workers sync.WaitGroup
	defer workers.Wait()
	defer close(jobs)
	for range s.workers {
		workers.Go(func() { s.work(jobs) })
	}

	next := cursorAt(s.runs, s.Rows)
	header := s.Bytes == 0
	for sent, done := 0, 0; ; done++ {
		for ; sent-done < len(ring) && (!next.end() || header); sent++ {
			u := ring[sent%len(ring)]
			u.take(&next)
			u.header, header = header, false
			jobs <- u
		}
		if sent == done {
			return nil
		}
		u := ring[done%len(ring)]
		<-u.ready
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.emit(w, u); err != nil {
			return err
		}
		if s.Rows < s.total {
			if err := after(); err != nil {
				return err
			}
		}
	}
}

// emit writes a filled unit.
func (s *stream) emit(w io.Writer, u *unit) error {
	if u.err != nil {
		return u.err
	}
	data := u.text
	if s.zip {
		data = u.packed.Bytes()
		s.CRC = crc32.Update(s.CRC, crc32.IEEETable, u.text)
	}
	if err := s.put(w, data); err != nil {
		return err
	}
	s.Rows, s.Bytes = s.Rows+u.rows, s.Bytes+int64(len(u.text))
	return nil
}

// cursor is a place in a set of numbers.
type cursor struct {
	runs batch.Runs // the first one in part
	used int64      // of the first run
}

// cursorAt is the place behind so many numbers.
func cursorAt(runs batch.Runs, rows int64) cursor {
	for len(runs) > 0 && rows >= runs[0].Len() {
		rows -= runs[0].Len()
		runs = runs[1:]
	}
	return cursor{runs, rows}
}

func (c *cursor) end() bool { return len(c.runs) == 0 }

// take gives the unit its next rows.
func (u *unit) take(c *cursor) {
	u.runs, u.rows = u.runs[:0], 0
	for !c.end() && u.rows < unitRows {
		r := c.runs[0]
		r.From += c.used
		r.To = min(r.To, r.From+unitRows-u.rows-1)
		u.runs, u.rows = append(u.runs, r), u.rows+r.Len()
		if c.used += r.Len(); r.To == c.runs[0].To {
			c.runs, c.used = c.runs[1:], 0
		}
	}
}

func (s *stream) work(jobs <-chan *unit) {
	r := s.rows.clone()
	var z *flate.Writer
	for u := range jobs {
		if u.err = u.format(r); u.err == nil && s.zip {
			if z == nil {
				z, u.err = flate.NewWriter(&u.packed, deflateLevel)
			}
			if u.err == nil {
				u.err = u.pack(z)
			}
		}
		u.ready <- struct{}{}
	}
}

func (u *unit) format(r *rows) (err error) {
	u.text = u.text[:0]
	if u.header {
		u.text = r.appendHeader(u.text)
	}
	for _, run := range u.runs {
		for no := run.From; no <= run.To; no++ {
			if u.text, err = r.appendRow(u.text, no); err != nil {
				return fmt.Errorf("row of number %d: %w", no, err)
			}
		}
	}
	return nil
}

// pack deflates the text on its own, up to a byte boundary.
func (u *unit) pack(z *flate.Writer) error {
	u.packed.Reset()
	z.Reset(&u.packed)
	if _, err := z.Write(u.text); err != nil {
		return err
	}
	return z.Flush()
}

// WriteCSVZip writes the codes of the numbers in runs to w: a zip with the one entry
// codes.csv, on all cores. progress is told the rows that w has been given, about
// every two thousand; it may be nil. Memory does not depend on the quantity.
func WriteCSVZip(ctx context.Context, w io.Writer, linker *batch.Linker, runs batch.Runs, progress func(done int64)) error {
	return writeAll(ctx, w, linker, runs, batch.FormatCSV, progress)
}

// WriteNDJSON is WriteCSVZip for one JSON object a line, not packed.
func WriteNDJSON(ctx context.Context, w io.Writer, linker *batch.Linker, runs batch.Runs, progress func(done int64)) error {
	return writeAll(ctx, w, linker, runs, batch.FormatNDJSON, progress)
}

func writeAll(ctx context.Context, w io.Writer, linker *batch.Linker, runs batch.Runs, format batch.Format, progress func(done int64)) error {
	if progress == nil {
		progress = func(int64) {}
	}
	s, err := newStream(linker, runs, format, min(runtime.GOMAXPROCS(0), workersMax))
	if err != nil {
		return err
	}
	err = s.write(ctx, w, func() error {
		progress(s.Rows)
		return nil
	})
	if err == nil {
		progress(s.Rows)
	}
	return err
}
