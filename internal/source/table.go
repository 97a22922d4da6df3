package source

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/text/encoding/simplifiedchinese"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

// The limits of a table.
const (
	TableBytesMax = 8 << 20
	TableRowsMax  = 50_000
	columnsMax    = 100
	errorsShown   = 100
	samplesShown  = 5
)

// Table says how a CSV file is read.
type Table struct {
	Brand   ids.BrandID
	Source  string            // of rows without a column for it
	Stage   string            // likewise
	Columns map[string]string // header → field; a header that is a field's name needs none
	Ignore  []string          // headers that are left out
	Zone    *time.Location    // of times without a zone; nil = those are wrong
	Charset string            // "" = told by the file: utf-8, or else gb18030
}

// fields of a row that a column may have; details.KEY beside them.
func fields() []string {
	return []string{"code", "batch_no", "product_id", "trace_type", "data_source", "time", "location"}
}

// Preview is what a table would bring.
type Preview struct {
	Charset string
	Columns []Column
	Rows    int // lines below the header
	Bad     int // of them
	Errors  []LineError
	Sample  []Row
}

// Column is a column and what it is read as; "" = it is left out.
type Column struct{ Header, Field string }

// LineError says what is wrong in a line, counted from 1 as editors do.
type LineError struct {
	Line           int
	Column, Reason string
}

// What keeps a file from being read at all.
var (
	ErrTable    = fault.New(fault.Invalid, "source.bad_table", "this is no CSV file that can be read")
	ErrTooLarge = fault.New(fault.TooLarge, "source.too_large", "a file has at most %d bytes and %d rows: cut it", TableBytesMax, TableRowsMax)
	ErrBadLines = fault.New(fault.Invalid, "source.bad_lines", "lines are wrong; nothing was stored")
)

// Preview reads a table and says line by line what is wrong with it. Nothing is stored.
func (s *Service) Preview(ctx context.Context, t Table, raw []byte) (Preview, error) {
	p, _, err := s.read(ctx, t, raw)
	return p, err
}

// Import keeps a table's rows for a task that adds them; a table with a wrong line is
// refused whole.
func (s *Service) Import(ctx context.Context, r ids.Request, actor string, t Table, raw []byte) (ids.TaskID, int, bool, error) {
	p, rows, err := s.read(ctx, t, raw)
	switch {
	case err != nil:
		return "", 0, false, err
	case p.Bad > 0:
		bad := make([]fault.Detail, len(p.Errors))
		for i, e := range p.Errors {
			bad[i] = fault.Detail{Field: fmt.Sprintf("line %d, %s", e.Line, e.Column), Reason: e.Reason}
		}
		return "", 0, false, ErrBadLines.Textf("%d of %d lines are wrong; nothing was stored", p.Bad, p.Rows).With(bad...)
	case len(rows) == 0:
		return "", 0, false, ErrTable.Textf("there is no line below the header")
	}
	id, replayed, err := s.Store.AddImport(ctx, r, Push{
		ID: ids.NewIn(ids.ShardOf(t.Brand), "task"), Brand: t.Brand, Rows: rows, CreatedBy: actor, CreatedAt: s.Clock.Now(),
	})
	if err != nil {
		return "", 0, false, err
	}
	return id, len(rows), replayed, s.Tasks.Wake(ctx, id)
}

func (s *Service) read(ctx context.Context, t Table, raw []byte) (p Preview, rows []Row, _ error) {
	if err := s.Catalog.HasBrand(ctx, t.Brand); err != nil {
		return p, nil, err
	}
	if err := t.check(); err != nil {
		return p, nil, err
	}
	raw, charset, err := decode(raw, t.Charset)
	if err != nil {
		return p, nil, err
	}
	p.Charset = charset
	in := csv.NewReader(bytes.NewReader(raw))
	in.FieldsPerRecord, in.ReuseRecord = -1, true
	header, err := in.Read()
	if err != nil {
		return p, nil, ErrTable.Textf("the first line must name the columns")
	}
	if p.Columns, err = t.columns(header); err != nil {
		return p, nil, err
	}
	for {
		cells, err := in.Read()
		if errors.Is(err, io.EOF) {
			return p, rows, nil
		}
		if p.Rows++; p.Rows > TableRowsMax {
			return p, nil, ErrTooLarge
		}
		if broken, ok := errors.AsType[*csv.ParseError](err); ok { // where the next line begins is not known
			p.fail(LineError{broken.StartLine, "", "its quotes do not match; what follows was not read"})
			return p, rows, nil
		}
		if err != nil {
			return p, nil, fmt.Errorf("read a table: %w", err)
		}
		line, _ := in.FieldPos(0)
		row, bad := t.row(p.Columns, cells)
		if len(bad) == 0 {
			bad = s.problems(t.Brand, &row)
		}
		if len(bad) > 0 {
			p.fail(t.errors(p.Columns, line, bad)...)
			continue
		}
		if rows = append(rows, row); len(p.Sample) < samplesShown {
			p.Sample = append(p.Sample, row)
		}
	}
}

func (p *Preview) fail(some ...LineError) {
	p.Bad++
	p.Errors = append(p.Errors, some[:min(len(some), errorsShown-len(p.Errors))]...)
}

func (t *Table) check() error {
	var bad []fault.Detail
	if t.Source != "" {
		bad = one(Kinds(), "data_source", t.Source)
	}
	if t.Stage != "" {
		bad = append(bad, one(Stages(), "trace_type", t.Stage)...)
	}
	for _, field := range t.Columns {
		key, isDetail := strings.CutPrefix(field, "details.")
		if !slices.Contains(fields(), field) && (!isDetail || !isKey(key)) {
			bad = append(bad, fault.Detail{Field: "map", Reason: "names a field that there is not"})
			break
		}
	}
	if len(bad) > 0 {
		return fault.New(fault.Invalid, "source.bad_map", "%s: %s", bad[0].Field, bad[0].Reason).With(bad...)
	}
	return nil
}

var (
	errCharset = ErrTable.Textf("its text is in no encoding that is read here: save it as UTF-8, or as GBK and say charset=gbk")
	errUTF16   = ErrTable.Textf("it is in UTF-16: save it as CSV UTF-8")
	errNUL     = ErrTable.Textf("it has zero bytes: it is no text, save it as CSV UTF-8")
)

// decode gives the text of a file. What is no UTF-8 and was not said to be something else
// is read as GB18030, which GBK and GB2312 are part of: so office programs in China save.
func decode(raw []byte, charset string) ([]byte, string, error) {
	switch {
	case len(raw) > TableBytesMax:
		return nil, "", ErrTooLarge
	case bytes.HasPrefix(raw, []byte("\xff\xfe")) || bytes.HasPrefix(raw, []byte("\xfe\xff")):
		return nil, "", errUTF16
	case bytes.IndexByte(raw, 0) >= 0:
		return nil, "", errNUL
	}
	charset = strings.ToLower(charset)
	switch charset {
	case "", "utf-8", "utf8":
		if utf8.Valid(raw) {
			return bytes.TrimPrefix(raw, []byte("\xef\xbb\xbf")), "utf-8", nil
		}
		if charset != "" {
			return nil, "", ErrTable.Textf("it is not in UTF-8 as it says")
		}
	case "gbk", "gb2312", "gb18030":
	default:
		return nil, "", errCharset
	}
	text, err := simplifiedchinese.GB18030.NewDecoder().Bytes(raw)
	if err != nil || bytes.ContainsRune(text, utf8.RuneError) {
		return nil, "", errCharset
	}
	return text, "gb18030", nil
}

// columns says what each column is read as.
func (t *Table) columns(header []string) ([]Column, error) {
	if len(header) > columnsMax {
		return nil, ErrTable.Textf("it has more than %d columns", columnsMax)
	}
	var bad []fault.Detail
	out := make([]Column, len(header))
	taken := map[string]bool{}
	for i, h := range header {
		h = strings.TrimSpace(h)
		out[i].Header = strings.Clone(h)
		field, mapped := t.Columns[h]
		key, isDetail := strings.CutPrefix(h, "details.")
		switch {
		case len(h) > TextMax || !clean(h):
			return nil, ErrTable.Textf("the name of column %d cannot be shown", i+1)
		case slices.Contains(t.Ignore, h):
			continue
		case mapped:
		case slices.Contains(fields(), h), isDetail && isKey(key):
			field = h
		default:
			bad = append(bad, fault.Detail{Field: h, Reason: "is a column that nothing is known of: map it or leave it out with ignore"})
			continue
		}
		if taken[field] {
			bad = append(bad, fault.Detail{Field: h, Reason: "is read as " + field + ", as another column is"})
		}
		taken[field], out[i].Field = true, strings.Clone(field)
	}
	for h := range t.Columns {
		if !slices.ContainsFunc(out, func(c Column) bool { return c.Header == h }) {
			bad = append(bad, fault.Detail{Field: "map", Reason: "names a column that the file has not"})
		}
	}
	if len(bad) > 0 {
		return nil, ErrTable.Textf("its columns are not as they should be: %s %s", bad[0].Field, bad[0].Reason).With(bad[:min(len(bad), detailsMax)]...)
	}
	return out, nil
}

// row reads a line. A cell that a spreadsheet would compute is refused: it would be one
// again in whatever shows it.
func (t *Table) row(columns []Column, cells []string) (r Row, bad []fault.Detail) {
	r.Source, r.Stage = t.Source, t.Stage
	if len(cells) != len(columns) {
		return r, []fault.Detail{{Field: "", Reason: fmt.Sprintf("has %d cells, the header has %d", len(cells), len(columns))}}
	}
	for i, c := range columns {
		cell := strings.Clone(strings.TrimSpace(cells[i]))
		if c.Field == "" || cell == "" {
			continue
		}
		if isFormula(cell) {
			bad = append(bad, fault.Detail{Field: c.Field, Reason: "is a formula: save its value"})
			continue
		}
		if why := t.put(&r, c.Field, cell); why != "" {
			bad = append(bad, fault.Detail{Field: c.Field, Reason: why})
		}
	}
	return r, bad
}

func (t *Table) put(r *Row, field, cell string) (why string) {
	switch field {
	case "code":
		r.Code = cell
	case "batch_no":
		r.BatchNo = cell
	case "product_id":
		n, err := strconv.ParseInt(cell, 10, 32)
		if err != nil || n <= 0 {
			return "must be a product's number"
		}
		r.Product = ids.ProductID(n)
	case "trace_type":
		r.Stage = cell
	case "data_source":
		r.Source = cell
	case "location":
		r.Location = cell
	case "time":
		return t.putTime(r, cell)
	default:
		if r.Details == nil {
			r.Details = map[string]any{}
		}
		r.Details[strings.TrimPrefix(field, "details.")] = cell
	}
	return ""
}

func (t *Table) putTime(r *Row, cell string) (why string) {
	var err error
	if r.Time, err = time.Parse(time.RFC3339, cell); err == nil {
		r.Time = r.Time.UTC()
		return ""
	}
	for _, layout := range [...]string{time.DateTime, "2006-01-02 15:04", "2006/1/2 15:04:05", "2006/1/2 15:04", time.DateOnly, "2006/1/2"} {
		zone := t.Zone
		if zone == nil {
			zone = time.UTC
		}
		if r.Time, err = time.ParseInLocation(layout, cell, zone); err == nil {
			if r.Time = r.Time.UTC(); t.Zone == nil {
				return "has no zone: name the file's with tz, such as Asia/Shanghai"
			}
			return ""
		}
	}
	return "must be a time such as 2026-03-01T08:30:00+08:00"
}

// isFormula tells what a spreadsheet would compute from a number with its sign and unit.
func isFormula(cell string) bool {
	switch cell[0] {
	case '=', '@':
		return true
	case '+', '-':
		return len(cell) == 1 || cell[1] < '0' || cell[1] > '9' || strings.ContainsAny(cell[1:], "(!|=@+*/")
	}
	return false
}

// errors names what is wrong by the columns' headers.
func (t *Table) errors(columns []Column, line int, bad []fault.Detail) []LineError {
	out := make([]LineError, len(bad))
	for i, d := range bad {
		out[i] = LineError{line, d.Field, d.Reason}
		for _, c := range columns {
			if c.Field == d.Field && d.Field != "" {
				out[i].Column = c.Header
			}
		}
	}
	return out
}
