package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/chopmark/chopmark/internal/codebook"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/test/harness"
)

// benchCodebook times the arithmetic alone.
func benchCodebook(_ context.Context, b *bench) error {
	key := [32]byte{1, 2, 3}
	items, links := codebook.NewItems(key), codebook.NewLinks(key)
	coder := items.Coder()
	show := func(what, goal string, fn func(i int)) {
		r := testing.Benchmark(func(b *testing.B) {
			b.ReportAllocs()
			for i := range b.N {
				fn(i)
			}
		})
		b.rowf(what, goal, "%.3f µs, %d allocations", float64(r.T.Nanoseconds())/float64(r.N)/1000, r.AllocsPerOp())
	}
	var buf [codebook.CodeDigits]byte
	show("FF1, serial to 18 digits", "≤ 0.5 µs, 0 allocations", func(i int) { coder.AppendCode(buf[:0], ids.Serial(i)) })
	code := items.Code(7)
	show("FF1, 18 digits to serial", "≤ 0.5 µs, 0 allocations", func(int) { items.Serial(code) })
	token, err := links.Token(7, 1, 3600, 42)
	if err != nil {
		return err
	}
	show("link token, make", "≤ 0.5 µs", func(i int) { _, err = links.Token(ids.Serial(i), 1, 3600, 42) })
	show("link token, check", "≤ 0.5 µs", func(int) { links.Check(token, 7, 1, 3600) })
	signer := codebook.NewLabelSigner(key)
	batch := signer.Batch(codebook.LabelClaims{GTIN: "09506000134352", Lot: "L2026-07"})
	text := batch.AppendSignature(nil, code)
	keys := []codebook.PublishedKey{{LabelKey: signer.Key()}}
	show("label signature, make", "", func(int) { text = batch.AppendSignature(text[:0], code) })
	show("label, from the link's text to the verdict offline", "≤ 200,000 µs, where an online answer takes 500 ms at 2G", func(int) {
		var l *codebook.Label
		if l, err = codebook.ParseLabel(code, string(text)); err == nil && codebook.Judge(keys, l, time.Unix(0, 0)) != codebook.Issued {
			err = errors.New("a label that was just signed is not issued")
		}
	})
	return err
}

// benchIssue runs `chopmark issue` and counts its processor time and memory.
func benchIssue(ctx context.Context, b *bench) error {
	out := filepath.Join(b.dir, "codes.zip")
	cmd := exec.CommandContext(ctx, b.bin, "issue", "--data", b.data("issue"), "--quantity", strconv.FormatInt(b.codes, 10), "--out", out)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	begun := time.Now()
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%w\n%s", err, said.String())
	}
	wall := time.Since(begun)
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return fmt.Errorf("no resource usage on this system")
	}
	cpu := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	st, err := os.Stat(out)
	if err != nil {
		return err
	}
	b.rowf(fmt.Sprintf("issue and write %d codes (zip of CSV)", b.codes), "≥ 1,000,000 codes/s per core",
		"%.0f codes per CPU second, %.0f/s by the clock", float64(b.codes)/cpu.Seconds(), float64(b.codes)/wall.Seconds())
	b.rowf("  resident, whole process at its highest", "≤ 64 MB", "%.0f MB", float64(usage.Maxrss)/1024)
	b.rowf("  the file", "", "%.1f MB, %.1f bytes a code", float64(st.Size())/1e6, float64(st.Size())/float64(b.codes))
	return os.Remove(out)
}

// shop is a brand with a product, for benches that need batches.
type shop struct {
	*harness.Server
	product int32
}

func openShop(ctx context.Context, s *harness.Server) (*shop, error) {
	var brand struct {
		ID int32 `json:"brand_id"`
	}
	var product struct {
		ID int32 `json:"product_id"`
	}
	if err := s.Must(ctx, http.MethodPost, "/api/v1/brands", map[string]any{"name": "Bench"}, &brand); err != nil {
		return nil, err
	}
	err := s.Must(ctx, http.MethodPost, "/api/v1/products", map[string]any{"brand_id": brand.ID, "name": "Bench"}, &product)
	return &shop{s, product.ID}, err
}

// batch makes a batch and activates all of it.
func (s *shop) batch(ctx context.Context, no string, quantity int64, rotate string) (id string, _ error) {
	var batch struct {
		ID string `json:"batch_id"`
	}
	err := s.Must(ctx, http.MethodPost, "/api/v1/batches", map[string]any{
		"product_id": s.product, "batch_no": no, "quantity": quantity, "rotate_every": rotate}, &batch)
	if err != nil {
		return "", err
	}
	return batch.ID, s.Must(ctx, http.MethodPost, "/api/v1/codes/state", map[string]any{
		"select": map[string]any{"batch_id": batch.ID}, "to": "active", "reason": "packed"}, nil)
}

// some claims a few numbers from the front of a batch's pool and gives their codes.
func (s *shop) some(ctx context.Context, batch string, n int) ([]string, error) {
	var claim struct {
		Codes []string `json:"codes"`
	}
	err := s.Must(ctx, http.MethodPost, "/api/v1/batches/"+batch+"/claims", map[string]any{"quantity": n, "claimant": "bench"}, &claim)
	return claim.Codes, err
}

// benchBillions issues ten batches of 10^9 and verifies codes all over them.
func benchBillions(ctx context.Context, b *bench) error {
	data := b.data("billions")
	server, err := harness.Start(ctx, b.bin, data)
	if err != nil {
		return err
	}
	defer server.Kill()
	s, err := openShop(ctx, server)
	if err != nil {
		return err
	}
	begun := time.Now()
	for i := range 10 {
		if _, err := s.batch(ctx, fmt.Sprint("B", i), 1_000_000_000, "1h"); err != nil {
			return err
		}
	}
	took := time.Since(begun)
	codes, err := randomCodes(ctx, data, 10_000_000_000, 20_000)
	if err != nil {
		return err
	}
	if err := verifyAll(ctx, server.URL, codes); err != nil {
		return err
	}
	rss, err := harness.ResidentMB(server.Pid())
	if err != nil {
		return err
	}
	if err := server.Stop(); err != nil {
		return err
	}
	b.rowf("ten batches of 10^9, hourly, issued and activated", "at once", "%v for all twenty commits", took.Round(time.Millisecond))
	b.rowf("  resident after verifying 20,000 random codes of them", "≤ 300 MB", "%.0f MB", rss)
	b.rowf("  data directory, those scans included", "≤ 20 MB", "%.1f MB", dirMB(data))
	return nil
}

func dirMB(dir string) float64 {
	var blocks int64
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error { // a file that just went is no size
		if err != nil || d.IsDir() {
			return nil //nolint:nilerr // see above
		}
		if info, err := d.Info(); err == nil {
			if st, ok := info.Sys().(*syscall.Stat_t); ok {
				blocks += st.Blocks
			}
		}
		return nil
	})
	return float64(blocks) * 512 / 1e6
}

// benchState times one change of a run of 10^8 and one of 100,000 single codes.
func benchState(ctx context.Context, b *bench) error {
	server, err := harness.Start(ctx, b.bin, b.data("state"))
	if err != nil {
		return err
	}
	defer server.Kill()
	s, err := openShop(ctx, server)
	if err != nil {
		return err
	}
	batch, err := s.batch(ctx, "S", 100_000_000, "off")
	if err != nil {
		return err
	}
	var codes []string
	for range 10 {
		if _, err := s.some(ctx, batch, 7); err != nil { // leave gaps, so that the list is no run
			return err
		}
		more, err := s.some(ctx, batch, 10_000)
		if err != nil {
			return err
		}
		codes = append(codes, more...)
	}
	if err := b.generateAnswers(ctx, s); err != nil {
		return err
	}
	begun := time.Now()
	err = s.Must(ctx, http.MethodPost, "/api/v1/codes/state", map[string]any{
		"select": map[string]any{"codes": codes}, "to": "void", "reason": "bench"}, nil)
	if err != nil {
		return err
	}
	b.rowf("void a list of 100,000 single codes", "≤ 1 s", "%v", time.Since(begun).Round(time.Millisecond))
	begun = time.Now()
	err = s.Must(ctx, http.MethodPost, "/api/v1/codes/state", map[string]any{
		"select": map[string]any{"batch_id": batch}, "to": "recalled", "reason": "bench"}, nil)
	b.rowf("recall a run of 10^8, with those 100,000 refused and listed", "one commit", "one commit, %v", time.Since(begun).Round(time.Millisecond))
	return err
}

const generateCalls = 300

// generateAnswers times the answers to the seed's generate call, whose files are
// written in the background meanwhile.
func (b *bench) generateAnswers(ctx context.Context, s *shop) error {
	var brand struct {
		ID int32 `json:"brand_id"`
	}
	if err := s.Must(ctx, http.MethodGet, fmt.Sprint("/api/v1/products/", s.product), nil, &brand); err != nil {
		return err
	}
	took := make([]time.Duration, generateCalls)
	for i := range took {
		begun := time.Now()
		err := s.Must(ctx, http.MethodPost, "/api/v1/codes/generate", map[string]any{
			"brand_id": brand.ID, "product_id": s.product, "batch_no": fmt.Sprint("G", i), "quantity": 10_000}, nil)
		if err != nil {
			return err
		}
		took[i] = time.Since(begun)
	}
	slices.Sort(took)
	b.rowf(fmt.Sprintf("generate, %d calls of 10,000 codes, their files written meanwhile: answer", generateCalls), "P99 < 50 ms",
		"P50 %v, P99 %v", took[generateCalls/2].Round(100*time.Microsecond), took[generateCalls*99/100].Round(100*time.Microsecond))
	return nil
}
