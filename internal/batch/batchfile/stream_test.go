package batchfile

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/batch/batchtest"
	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/mark"
	"github.com/chopmark/chopmark/internal/platform/blob"
)

// bare is a service that can only make Linkers.
func bare(url string) *batch.Service {
	now := time.Date(2027, 1, 15, 8, 0, 1, 0, time.UTC)
	return bareAt(url, now)
}

func bigBatch(quantity int64) *batch.Batch {
	return &batch.Batch{
		ID: "bat_1", No: "B-1", First: 101_000_000_000_123, Quantity: quantity, Mark: batch.Print,
		CreatedAt: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC),
	}
}

// signed is a batch whose labels say all that they can say.
func signed(quantity int64) *batch.Batch {
	b := bigBatch(quantity)
	b.No, b.SignatureKeyID, b.SignatureGTIN, b.ExpiresAt = "L2026-07", "3f2a9c01", "09506000134352", b.CreatedAt.Add(365*24*time.Hour)
	return b
}

// TestSignedMarkSize: a signed label is a QR of version 8 for a short host, and the same each time.
func TestSignedMarkSize(t *testing.T) {
	t.Parallel()
	text := func() string {
		l := bare("https://goods.example").Linker(signed(10), "")
		url, err := l.AppendURL(nil, 7, l.AppendCode(nil, 7))
		if err != nil {
			t.Fatal(err)
		}
		return string(url)
	}
	symbol, err := mark.New(text())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d characters, version %d, %d modules", len(text()), symbol.Version(), symbol.Size())
	if again := text(); symbol.Version() > 8 || again != text() {
		t.Errorf("version %d of %s", symbol.Version(), text())
	}
}

// shapes are the kinds of rows that there are.
func shapes() map[string]func() *batch.Linker {
	const url = "https://code.example.com"
	inner := bigBatch(1e10)
	inner.InnerKeyID = batchtest.InnerKey
	display := bigBatch(1e10)
	display.Mark, display.RotateEvery = batch.Display, time.Hour
	return map[string]func() *batch.Linker{
		"print":   func() *batch.Linker { return bare(url).Linker(bigBatch(1e10), "") },
		"gs1":     func() *batch.Linker { return bare(url).Linker(bigBatch(1e10), gs1.GTIN("09506000134352")) },
		"inner":   func() *batch.Linker { return bare(url).Linker(inner, "") },
		"display": func() *batch.Linker { return bare(url).Linker(display, "") },
		"signed":  func() *batch.Linker { return bare(url).Linker(signed(1e10), "") },
		"comma":   func() *batch.Linker { return bare(`https://h.example/a,b`).Linker(inner, "") },
		"quote":   func() *batch.Linker { return bare(`https://h.example/a"b<c`).Linker(bigBatch(1e10), "") },
	}
}

// holes is a set of numbers with gaps inside units, at their borders, and with
// single numbers.
func holes() batch.Runs {
	rs := batch.Runs{{From: 1, To: 1}, {From: 3, To: 3}, {From: 10, To: unitRows}, {From: unitRows + 2, To: 3 * unitRows}}
	for no := int64(99_990); no < 100_400; no += 3 {
		rs = append(rs, batch.Run{From: no, To: no + 1})
	}
	return append(rs, batch.Run{From: 9_999_998_000, To: 9_999_999_999})
}

func write(t testing.TB, l *batch.Linker, runs batch.Runs, format batch.Format, workers int) []byte {
	t.Helper()
	s, err := newStream(l, runs, format, workers)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := s.write(t.Context(), &out, func() error { return nil }); err != nil {
		t.Fatal(err)
	}
	if s.Offset != int64(out.Len()) || s.Rows != runs.Count() {
		t.Errorf("position %+v after %d bytes", s.position, out.Len())
	}
	return out.Bytes()
}

func TestCSVAgreesWithTheNaiveWriter(t *testing.T) {
	t.Parallel()
	sets := map[string]batch.Runs{
		"none": {}, "one": {{From: 7, To: 7}}, "holes": holes(),
		"unit-1": {{From: 1, To: unitRows - 1}}, "unit": {{From: 1, To: unitRows}},
		"unit+1": {{From: 1, To: unitRows + 1}}, "many": {{From: 5, To: 5*unitRows + 20}},
	}
	for name, linker := range shapes() {
		for set, runs := range sets {
			t.Run(name+"/"+set, func(t *testing.T) {
				t.Parallel()
				data := write(t, linker(), runs, batch.FormatCSV, 1)
				sameText(t, unzip(t, data), naive(t, linker(), runs))
				for _, workers := range []int{2, 5} {
					if !bytes.Equal(data, write(t, linker(), runs, batch.FormatCSV, workers)) {
						t.Errorf("%d workers write other bytes", workers)
					}
				}
			})
		}
	}
}

// TestCSVText pins the text itself, which the comparison above cannot.
func TestCSVText(t *testing.T) {
	t.Parallel()
	b := bigBatch(10)
	b.InnerKeyID = batchtest.InnerKey
	l := bare("https://h.example").Linker(b, "")
	code := string(l.AppendCode(nil, 2))
	inner, err := l.InnerCode(2)
	if err != nil {
		t.Fatal(err)
	}
	want := "no,code,url,inner\n2," + code + ",https://h.example/" + code + "," + inner + "\n"
	if got := unzip(t, write(t, l, batch.Runs{{From: 2, To: 2}}, batch.FormatCSV, 1)); got != want {
		t.Errorf("CSV %q, want %q", got, want)
	}
	b.InnerKeyID, b.Mark = "", batch.Display
	l = bare("https://h.example/p").Linker(b, "")
	got := unzip(t, write(t, l, batch.Runs{{From: 2, To: 2}}, batch.FormatCSV, 1))
	if !strings.HasPrefix(got, "no,code,url\n2,"+code+",HTTPS://H.EXAMPLE/p/"+code+"/") || len(got) != len("no,code,url\n2,,HTTPS://H.EXAMPLE/p//\n")+18*3 {
		t.Errorf("CSV of a display batch: %q", got)
	}
}

func TestNDJSON(t *testing.T) {
	t.Parallel()
	for name, linker := range shapes() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, runs := linker(), holes()
			data := write(t, l, runs, batch.FormatNDJSON, 3)
			lines := bytes.Split(bytes.TrimSuffix(data, []byte("\n")), []byte("\n"))
			if int64(len(lines)) != runs.Count() {
				t.Fatalf("%d lines, want %d", len(lines), runs.Count())
			}
			i := 0
			for _, r := range runs {
				for no := r.From; no <= r.To; no, i = no+1, i+1 {
					checkLine(t, l, no, lines[i])
				}
			}
		})
	}
	l := bare("https://h.example").Linker(bigBatch(9), "")
	code := string(l.AppendCode(nil, 1))
	want := `{"no":1,"code":"` + code + `","url":"https://h.example/` + code + `"}` + "\n"
	if got := string(write(t, l, batch.Runs{{From: 1, To: 1}}, batch.FormatNDJSON, 1)); got != want {
		t.Errorf("NDJSON %q, want %q", got, want)
	}
}

func checkLine(t *testing.T, l *batch.Linker, no int64, line []byte) {
	t.Helper()
	var row struct {
		No    int64
		Code  string
		URL   string
		Inner *string
	}
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&row); err != nil {
		t.Fatalf("line %q: %v", line, err)
	}
	code := l.AppendCode(nil, no)
	url, err := l.AppendURL(nil, no, code)
	inner, innerErr := l.InnerCode(no)
	if err != nil || innerErr != nil {
		t.Fatal(err, innerErr)
	}
	if row.No != no || row.Code != string(code) || row.URL != string(url) || (row.Inner != nil) != l.HasInner() || row.Inner != nil && *row.Inner != inner {
		t.Fatalf("line %q is not of number %d", line, no)
	}
}

func TestUnknownFormat(t *testing.T) {
	t.Parallel()
	if _, err := newStream(bare("https://h").Linker(bigBatch(1), ""), batch.Runs{{From: 1, To: 1}}, "xlsx", 1); err == nil {
		t.Error("a stream of an unknown format was made")
	}
}

// TestZip holds both forms of the frame to independent readers.
func TestZip(t *testing.T) {
	t.Parallel()
	l := bare("https://code.example.com").Linker(bigBatch(1e10), "")
	runs := batch.Runs{{From: 1, To: 3 * unitRows}}
	for _, big := range []bool{false, true} {
		t.Run(fmt.Sprintf("zip64=%v", big), func(t *testing.T) {
			t.Parallel()
			s, err := newStream(l.Clone(), runs, batch.FormatCSV, 2)
			if err != nil {
				t.Fatal(err)
			}
			if s.frame.big {
				t.Fatal("six thousand rows want zip64")
			}
			s.frame.big = big
			var out bytes.Buffer
			if err := s.write(t.Context(), &out, func() error { return nil }); err != nil {
				t.Fatal(err)
			}
			text := unzip(t, out.Bytes())
			sameText(t, text, naive(t, l.Clone(), runs))
			file := filepath.Join(t.TempDir(), "codes.zip")
			if err := os.WriteFile(file, out.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
			judge(t, "", "unzip", "-tqq", file)
			judge(t, text, "unzip", "-p", file)
			const script = `import sys, zipfile
z = zipfile.ZipFile(sys.argv[1])
assert z.testzip() is None
i = z.infolist()[0]
assert i.date_time == (2027, 1, 15, 8, 0, 0), i.date_time
assert i.extract_version == int(sys.argv[2]), i.extract_version
sys.stdout.buffer.write(z.read("codes.csv"))`
			version := map[bool]string{false: "20", true: "45"}[big]
			judge(t, text, "python3", "-c", script, file, version)
		})
	}
}

// judge runs another program on what was written. archive/zip has judged already,
// so a machine without the program proves less, but not nothing.
func judge(t *testing.T, want, name string, args ...string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is not installed: CI must have it", name)
		}
		t.Logf("%s is not installed: it did not judge", name)
		return
	}
	cmd := exec.CommandContext(t.Context(), name, args...)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v: %s%s", name, err, out, complaint.Bytes())
	}
	sameText(t, string(out), want)
}

// TestZipSizes holds the frame of files that are too big to be written in a test:
// its numbers are where the standard says.
func TestZipSizes(t *testing.T) {
	t.Parallel()
	l := bare("https://code.example.com").Linker(bigBatch(1e10), "")
	for rows, big := range map[int64]bool{1: false, 55_000_000: false, 62_000_000: true, 1e10: true} {
		s, err := newStream(l.Clone(), batch.Runs{{From: 1, To: rows}}, batch.FormatCSV, 1)
		if err != nil {
			t.Fatal(err)
		}
		if s.frame.big != big {
			t.Errorf("zip64 of %d rows = %v, want %v", rows, s.frame.big, big)
		}
	}
	f := zipFrame{at: time.Unix(0, 0).UTC(), big: true}
	const packed, plain = 150_000_000_000, 730_000_000_000
	head, tail := f.head(), f.tail(0xdeadbeef, packed, plain)
	size := int64(len(head)) + packed + int64(len(tail))
	z, err := readFrame(head, tail, packed, size)
	if err != nil {
		t.Fatal(err)
	}
	e := z.File[0]
	if e.CRC32 != 0xdeadbeef || e.CompressedSize64 != packed || e.UncompressedSize64 != plain || e.Modified.Year() != 1980 {
		t.Errorf("directory says %+v", e.FileHeader)
	}
	if at, err := e.DataOffset(); err != nil || at != int64(len(head)) {
		t.Errorf("data at %d, %v; want %d", at, err, len(head))
	}
}

// memory is an upload that remembers what was synced.
type memory struct {
	data   []byte
	synced int
	room   int // 0 = without end
}

func (m *memory) Write(p []byte) (int, error) {
	if m.room > 0 && len(m.data)+len(p) > m.room {
		n := m.room - len(m.data)
		m.data = append(m.data, p[:n]...)
		return n, blob.ErrNoSpace
	}
	m.data = append(m.data, p...)
	return len(p), nil
}

func (m *memory) Sync() error { m.synced = len(m.data); return nil }

// saves remembers checkpoints as the task's row does.
type saves struct {
	t   *testing.T
	up  *memory
	all []checkpoint
}

func (s *saves) Save(_ context.Context, step string, cp any, done int64) error {
	raw, err := json.Marshal(cp)
	if err != nil {
		return err
	}
	var c checkpoint
	if err := json.Unmarshal(raw, &c); err != nil {
		return err
	}
	if step != batch.StepGenerate || done != c.Rows || c.Offset != int64(s.up.synced) || c.Offset != int64(len(s.up.data)) {
		s.t.Errorf("saved %s %+v, done %d, with %d bytes of %d synced", step, c, done, s.up.synced, len(s.up.data))
	}
	s.all = append(s.all, c)
	return nil
}

// TestResume cuts a file off behind each checkpoint, right there and at places
// beyond it, and goes on: the file must be the same, byte for byte.
func TestResume(t *testing.T) {
	t.Parallel()
	for name, linker := range shapes() {
		for _, format := range []batch.Format{batch.FormatCSV, batch.FormatNDJSON} {
			t.Run(name+"/"+string(format), func(t *testing.T) {
				t.Parallel()
				testResume(t, linker, format)
			})
		}
	}
}

func testResume(t *testing.T, linker func() *batch.Linker, format batch.Format) {
	t.Helper()
	const chunk = 2 * unitRows
	runs := append(holes(), batch.Run{From: 9_999_999_999 + 2, To: 9_999_999_999 + 2*unitRows})
	want := &memory{}
	saved := &saves{t: t, up: want}
	s, err := newStream(linker(), runs, format, 2)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.fill(t.Context(), want, saved, checkpoint{}, chunk); err != nil {
		t.Fatal(err)
	}
	if n := int((runs.Count() - 1) / chunk); len(saved.all) != n || n < 2 {
		t.Fatalf("%d checkpoints, want %d", len(saved.all), n)
	}
	for i, cp := range saved.all {
		beyond := len(want.data) - int(cp.Offset)
		for _, extra := range []int{0, 1, beyond / 3, beyond - 1} {
			up := &memory{data: append([]byte(nil), want.data[:cp.Offset]...)} // what Resume leaves of offset+extra
			dir, err := blob.OpenDir(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			resumeInto(t, dir, append(up.data, bytes.Repeat([]byte{0xee}, extra)...), cp, linker, runs, format, want.data)
			if i == 0 && extra == 0 {
				again := &saves{t: t, up: up}
				up.synced = len(up.data)
				goOn(t, up, again, cp, linker, runs, format, chunk)
				if len(again.all) != len(saved.all)-1 || !bytes.Equal(up.data, want.data) {
					t.Errorf("resumed with %d checkpoints, want %d", len(again.all), len(saved.all)-1)
				}
			}
		}
	}
}

// TestNoCheckpointAtTheEnd: what is whole needs none, the end of the task says it.
func TestNoCheckpointAtTheEnd(t *testing.T) {
	t.Parallel()
	s, err := newStream(shapes()["print"](), batch.Runs{{From: 1, To: 2 * unitRows}}, batch.FormatCSV, 2)
	if err != nil {
		t.Fatal(err)
	}
	up := &memory{}
	saved := &saves{t: t, up: up}
	if err := s.fill(t.Context(), up, saved, checkpoint{}, 2*unitRows); err != nil || len(saved.all) != 0 {
		t.Errorf("one chunk took %d checkpoints: %v", len(saved.all), err)
	}
}

func goOn(t *testing.T, up upload, to saver, cp checkpoint, linker func() *batch.Linker, runs batch.Runs, format batch.Format, chunk int64) {
	t.Helper()
	s, err := newStream(linker(), runs, format, 3)
	if err != nil {
		t.Fatal(err)
	}
	s.position = cp.position
	if err := s.fill(t.Context(), up, to, cp, chunk); err != nil {
		t.Fatal(err)
	}
}

type nowhere struct{}

func (nowhere) Save(context.Context, string, any, int64) error { return nil }

// resumeInto goes on with a real unfinished file.
func resumeInto(t *testing.T, dir *blob.Dir, part []byte, cp checkpoint, linker func() *batch.Linker, runs batch.Runs, format batch.Format, want []byte) {
	t.Helper()
	begun, err := dir.Resume(t.Context(), "f.zip", 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := begun.Write(part); err != nil {
		t.Fatal(err)
	}
	if err := begun.Close(); err != nil {
		t.Fatal(err)
	}
	up, err := dir.Resume(t.Context(), "f.zip", cp.Offset)
	if err != nil {
		t.Fatal(err)
	}
	goOn(t, up, nowhere{}, cp, linker, runs, format, unitRows)
	if err := up.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	f, err := dir.Open(t.Context(), "f.zip")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("resumed at %+v behind %d bytes: another file", cp, len(part))
	}
}

func TestNoSpaceMidway(t *testing.T) {
	t.Parallel()
	runs := batch.Runs{{From: 1, To: 10 * unitRows}}
	for _, room := range []int{1, 40, 10_000, 200_000} {
		s, err := newStream(bare("https://code.example.com").Linker(bigBatch(1e10), ""), runs, batch.FormatCSV, 2)
		if err != nil {
			t.Fatal(err)
		}
		err = s.fill(t.Context(), &memory{room: room}, nowhere{}, checkpoint{}, unitRows)
		if !errors.Is(err, blob.ErrNoSpace) {
			t.Errorf("with room for %d bytes: %v", room, err)
		}
	}
}

func TestWriteCSVZip(t *testing.T) {
	t.Parallel()
	linker := shapes()["inner"]
	var out bytes.Buffer
	var told []int64
	if err := WriteCSVZip(t.Context(), &out, linker(), holes(), func(n int64) { told = append(told, n) }); err != nil {
		t.Fatal(err)
	}
	sameText(t, unzip(t, out.Bytes()), naive(t, linker(), holes()))
	if n := len(told); n < 3 || told[n-1] != holes().Count() {
		t.Errorf("progress %v, want to end at %d", told, holes().Count())
	}
	var lines bytes.Buffer
	if err := WriteNDJSON(t.Context(), &lines, linker(), holes(), nil); err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(lines.Bytes(), []byte("\n")); int64(n) != holes().Count() {
		t.Errorf("%d lines, want %d", n, holes().Count())
	}
	ctx, cancel := context.WithCancel(t.Context())
	err := WriteCSVZip(ctx, io.Discard, linker(), batch.Runs{{From: 1, To: 1e10}}, func(n int64) {
		if n > 20*unitRows {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestMemoryIsConstant bounds what is allocated in all, so no quantity can need more.
func TestMemoryIsConstant(t *testing.T) {
	for name, linker := range shapes() {
		if name == "quote" || name == "comma" {
			continue // JSON escapes allocate and are collected again
		}
		use := func(rows int64) uint64 {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			if err := WriteCSVZip(t.Context(), io.Discard, linker(), batch.Runs{{From: 1, To: rows}}, nil); err != nil {
				t.Fatal(err)
			}
			runtime.ReadMemStats(&after)
			return after.TotalAlloc - before.TotalAlloc
		}
		few, many := use(20*unitRows), use(60*unitRows)
		if many > few+few/10+64<<10 || many > 24<<20 {
			t.Errorf("%s: %d bytes allocated for %d rows, %d for %d", name, few, 20*unitRows, many, 60*unitRows)
		}
	}
}

func BenchmarkWriteZip(b *testing.B) {
	for _, workers := range []int{1, runtime.GOMAXPROCS(0)} {
		for _, name := range []string{"print", "gs1", "inner", "display"} {
			linker := shapes()[name]()
			b.Run(name+"/workers="+strconv.Itoa(workers), func(b *testing.B) { benchmarkWrite(b, linker, workers) })
		}
	}
}

func benchmarkWrite(b *testing.B, linker *batch.Linker, workers int) {
	b.Helper()
	const rows = 1_000_000
	up, err := os.Create(filepath.Join(b.TempDir(), "codes.zip"))
	if err != nil {
		b.Fatal(err)
	}
	defer up.Close()
	var bytes int64
	cpu := cpuSeconds()
	for b.Loop() {
		if _, err := up.Seek(0, io.SeekStart); err != nil {
			b.Fatal(err)
		}
		s, err := newStream(linker.Clone(), batch.Runs{{From: 1_000_000, To: 999_999 + rows}}, batch.FormatCSV, workers)
		if err != nil {
			b.Fatal(err)
		}
		if err := s.write(b.Context(), up, func() error { return nil }); err != nil {
			b.Fatal(err)
		}
		bytes = s.Offset
	}
	cpu = cpuSeconds() - cpu
	b.ReportMetric(rows*float64(b.N)/cpu, "codes/cpu-s")
	b.ReportMetric(rows*float64(b.N)/b.Elapsed().Seconds(), "codes/s")
	b.ReportMetric(float64(bytes)/rows, "B/code")
	b.ReportMetric(residentMB(b), "peak-MB")
	b.ReportMetric(0, "ns/op") // of a million codes: says nothing that is not above
}
