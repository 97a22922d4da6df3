package batchfile

import (
	"archive/zip"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/batch/batchevent"
	"github.com/chopmark/chopmark/internal/batch/batchsql"
	"github.com/chopmark/chopmark/internal/batch/batchtest"
	"github.com/chopmark/chopmark/internal/codebook"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/blob"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/idem"
	"github.com/chopmark/chopmark/internal/platform/outbox"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/platform/task"
)

// keys are batchtest's, and onToken sees each token being made.
type keys struct {
	*batchtest.Keys
	onToken func(ids.Serial) error
}

func newKeys() *keys { return &keys{Keys: batchtest.NewKeys()} }

func (k *keys) Token(s ids.Serial, version uint16, period uint32, epoch uint64) (codebook.Token, error) {
	if k.onToken != nil {
		if err := k.onToken(s); err != nil {
			return codebook.Token{}, err
		}
	}
	return k.Keys.Token(s, version, period, epoch)
}

// forgetful is the batch.Local that starts from nothing each time.
type forgetful struct{}

func (forgetful) Load() (_ batch.Standing, fresh bool, _ error) {
	return batch.Standing{}, true, nil
}
func (forgetful) Batches(ids.Serial, int) ([]batch.Batch, error) { return nil, nil }
func (forgetful) LoadBatch(first ids.Serial) (batch.Snapshot, error) {
	return batch.Snapshot{First: first}, nil
}
func (forgetful) PutNote(ids.Shard, int64, batch.Note) error        { return nil }
func (forgetful) PutItems(ids.Serial, batch.Runs, int64) error      { return nil }
func (forgetful) PutExtra(ids.Serial, batch.Extra) error            { return nil }
func (forgetful) Note(ids.Shard, int64) (batch.Note, bool, error)   { return batch.Note{}, false, nil }
func (forgetful) ItemSeq(ids.Serial) (int64, bool, error)           { return 0, false, nil }
func (forgetful) Extra(ids.Serial) (batch.Extra, bool, error)       { return batch.Extra{}, false, nil }
func (forgetful) PutBatch(*batch.Batch) error                       { return nil }
func (forgetful) Checkpoint(batch.Standing, []batch.Snapshot) error { return nil }
func (forgetful) Reset() error                                      { return nil }

// world is the domain with real SQL, a real directory and a real task runner.
type world struct {
	t       testing.TB
	dir     string
	db      *sqldb.DB
	store   *batchsql.Store
	svc     *batch.Service
	keys    *keys
	files   blob.Store
	blob    string
	handler *Handler
	runner  *task.Runner
	now     atomic.Int64 // seconds since 1970
}

// open is a way to open a world.
type open struct {
	dir, files string // files: "" = below dir
	blob       string // URL of where files are kept; "" = in files
	url        string
	chunk      int64
	workers    int
	idle       bool // tasks are accepted, nobody runs them
	keys       *keys
	now        int64
}

func openWorld(t testing.TB, o open) *world {
	t.Helper()
	if o.dir == "" {
		o.dir = t.TempDir()
	}
	if o.files == "" {
		o.files = filepath.Join(o.dir, "files")
	}
	if o.url == "" {
		o.url = "https://code.example.com"
	}
	if o.keys == nil {
		o.keys = newKeys()
	}
	w := &world{t: t, dir: o.dir, keys: o.keys, blob: o.blob}
	w.now.Store(max(o.now, 1_800_000_000))
	ctx := t.Context()
	var err error
	if w.db, err = sqldb.OpenSQLite(ctx, filepath.Join(o.dir, "batch.db")); err != nil {
		t.Fatal(err)
	}
	for domain, schema := range map[string]fs.FS{
		"outbox": outbox.Schema(), "idem": idem.Schema(), "task": task.Schema(), "batch": batchsql.Schema(),
	} {
		if err := w.db.Migrate(ctx, domain, schema); err != nil {
			t.Fatal(err)
		}
	}
	c := clock.Func(func() time.Time { return time.Unix(w.now.Load(), 0) })
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	if w.files, err = blob.Open(ctx, blob.Config{URL: o.blob, Local: o.files, Log: log}); err != nil {
		t.Fatal(err)
	}
	w.store = batchsql.New(w.db, c)
	proj := batch.NewProjection(w.store, forgetful{}, 0)
	if err := proj.Start(ctx); err != nil {
		t.Fatal(err)
	}
	w.runner = task.NewRunner(sqldb.One(w.db), c, log, 2)
	var tasks batch.Tasks = w.runner
	if o.idle {
		tasks = &batchtest.Tasks{}
	}
	w.svc = batch.NewService(batch.Config{PublicURL: o.url}, w.store, codebook.NewItems([32]byte{1}), proj, o.keys, tasks, &batchtest.Scans{}, c)
	w.handler = New(Config{Workers: o.workers}, w.svc, w.store, w.files, c, log)
	if o.chunk > 0 {
		w.handler.chunk = o.chunk
	}
	w.runner.Handle(batch.TaskGenerate, w.handler)
	w.runner.Handle(batch.TaskExport, w.handler)
	return w
}

func (w *world) start() {
	w.t.Helper()
	if err := w.runner.Start(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) close() {
	w.t.Helper()
	w.runner.Stop()
	if err := w.db.Close(); err != nil {
		w.t.Error(err)
	}
	if err := w.files.Close(); err != nil {
		w.t.Error(err)
	}
}

func asOperator() batch.Command { return batch.Command{Actor: "operator"} }

// product makes a brand and a product of it.
func (w *world) product(p batch.Product, gtin string) batch.Product {
	w.t.Helper()
	brand, _, err := w.svc.CreateBrand(w.t.Context(), asOperator(), "Acme")
	if err != nil {
		w.t.Fatal(err)
	}
	p.BrandID, p.Name = brand.ID, "茶 Tea"
	p, _, err = w.svc.CreateProduct(w.t.Context(), asOperator(), p, gtin)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// batch makes a batch of a new product.
func (w *world) batch(spec batch.BatchSpec, gtin string) batch.Batch {
	w.t.Helper()
	spec.ProductID, spec.No = w.product(batch.Product{}, gtin).ID, "B-1"
	b, _, err := w.svc.CreateBatch(w.t.Context(), asOperator(), spec)
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

// export asks for a file of all of a batch.
func (w *world) export(b *batch.Batch, spec batch.FileSpec) ids.TaskID {
	w.t.Helper()
	id, _, err := w.svc.Export(w.t.Context(), asOperator(), b.ID, batch.Run{From: 1, To: b.Quantity}, spec, true)
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

func (w *world) free(b *batch.Batch) batch.Runs {
	w.t.Helper()
	free, err := w.store.Free(w.t.Context(), b.ID)
	if err != nil {
		w.t.Fatal(err)
	}
	return free
}

func (w *world) task(id ids.TaskID) task.Task {
	w.t.Helper()
	t, err := task.Find(w.t.Context(), w.db.Reader(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return t
}

// ended waits for the end of a task.
func (w *world) ended(id ids.TaskID) task.Task {
	w.t.Helper()
	for deadline := time.Now().Add(5 * time.Minute); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		if t := w.task(id); t.State == task.Done || t.State == task.Failed {
			return t
		}
	}
	w.t.Fatalf("task %s did not end: %+v", id, w.task(id))
	return task.Task{}
}

// done waits for the end of a task that must succeed, and reads its file.
func (w *world) done(id ids.TaskID) []byte {
	w.t.Helper()
	t := w.ended(id)
	if t.State != task.Done || t.Step != batch.StepNotify || t.Done != t.Total {
		w.t.Fatalf("task ended as %s at %s, %d of %d: %s", t.State, t.Step, t.Done, t.Total, t.ErrorText)
	}
	f, err := w.files.Open(w.t.Context(), t.File)
	if err != nil {
		w.t.Fatal(err)
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	if err != nil {
		w.t.Fatal(err)
	}
	if w.blob == "" {
		w.wantFiles(t.File)
	} else {
		w.wantFiles() // nothing unfinished stays
	}
	return data
}

// wantFiles is what must be in the files' directory: nothing else may lie there.
func (w *world) wantFiles(names ...string) {
	w.t.Helper()
	all, err := filepath.Glob(filepath.Join(w.dir, "files", "*"))
	if err != nil {
		w.t.Fatal(err)
	}
	for i := range all {
		all[i] = filepath.Base(all[i])
	}
	if got, want := strings.Join(all, " "), strings.Join(names, " "); got != want {
		w.t.Errorf("files %q, want %q", got, want)
	}
}

// told gives the events of a task's end.
func (w *world) told(id ids.TaskID) []batchevent.Generated {
	w.t.Helper()
	all, _, err := outbox.New(sqldb.One(w.db)).Read(w.t.Context(), outbox.Cursor{}, 1000)
	if err != nil {
		w.t.Fatal(err)
	}
	var out []batchevent.Generated
	for _, e := range all {
		var g batchevent.Generated
		if err := json.Unmarshal(e.Data, &g); err != nil {
			w.t.Fatal(err)
		}
		if e.Type == batchevent.CodeGenerated && g.TaskID == string(id) && g.Kind != "batch" {
			out = append(out, g)
		}
	}
	return out
}

// naive is the text of a CSV by the standard library, one row at a time.
func naive(t testing.TB, l *batch.Linker, runs batch.Runs) string {
	t.Helper()
	var out strings.Builder
	w := csv.NewWriter(&out)
	head := []string{"no", "code", "url"}
	if l.HasInner() {
		head = append(head, "inner")
	}
	write := func(row []string) {
		if err := w.Write(row); err != nil {
			t.Fatal(err)
		}
	}
	write(head)
	for _, r := range runs {
		for no := r.From; no <= r.To; no++ {
			code := l.AppendCode(nil, no)
			url, err := l.AppendURL(nil, no, code)
			if err != nil {
				t.Fatal(err)
			}
			row := []string{strconv.FormatInt(no, 10), string(code), string(url)}
			if l.HasInner() {
				inner, err := l.InnerCode(no)
				if err != nil {
					t.Fatal(err)
				}
				row = append(row, inner)
			}
			write(row)
		}
	}
	w.Flush()
	return out.String()
}

// unzip reads the one entry of a zip and holds it to its CRC and sizes.
func unzip(t testing.TB, data []byte) string {
	t.Helper()
	text, err := tryUnzip(data)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func tryUnzip(data []byte) (string, error) {
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return "", err
	}
	if len(z.File) != 1 || z.File[0].Name != zipEntry {
		return "", fmt.Errorf("zip has %d entries", len(z.File))
	}
	f, err := z.File[0].Open()
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(f)
	if err == nil && uint64(len(text)) != z.File[0].UncompressedSize64 {
		err = fmt.Errorf("entry has %d bytes, the directory says %d", len(text), z.File[0].UncompressedSize64)
	}
	return string(text), err
}

// sameText compares long texts and shows the first difference only.
func sameText(t testing.TB, got, want string) {
	t.Helper()
	if got == want {
		return
	}
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			t.Fatalf("line %d is %q, want %q", i+1, g[i], w[i])
		}
	}
	t.Fatalf("%d lines, want %d", len(g), len(w))
}
