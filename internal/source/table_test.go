package source

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/unicode"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

func shanghai() *time.Location { return time.FixedZone("UTC+8", 8*60*60) }

func table() Table {
	return Table{Brand: 1, Source: ERP, Stage: "production", Zone: shanghai(), Columns: map[string]string{"条码": "code", "检验员": "details.inspector"}}
}

func TestPreview(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const head = "条码,time,location,检验员\n"
	line := func(cells ...string) string { return strings.Join(cells, ",") + "\n" }
	good := line(ours, "2026/2/1 8:30", "仁怀", "王敏")
	for what, c := range map[string]struct{ text, want string }{
		"good":          {head + good + good, ""},
		"quoted":        {head + line(ours, "2026-02-01", `"a ""b"", c"`, "x"), ""},
		"negative":      {head + line(ours, "2026-02-01", "-18°C", "+8"), ""},
		"no code":       {head + good + line("", "2026-02-01", "", ""), "3 条码 name a code or a batch_no"},
		"other's code":  {head + line("999999999999999999", "2026-02-01", "", ""), "2 条码 is no code of this brand"},
		"formula":       {head + line(ours, "2026-02-01", "=cmd|' /C calc'!A0", ""), "2 location is a formula: save its value"},
		"formula, at":   {head + line(ours, "2026-02-01", "", "@SUM(A1)"), "2 检验员 is a formula: save its value"},
		"formula, plus": {head + line(ours, "2026-02-01", "+1+cmd", ""), "2 location is a formula: save its value"},
		"no time":       {head + good + good + line(ours, "yesterday", "", ""), "4 time must be a time such as"},
		"cells":         {head + line(ours, "2026-02-01"), "2  has 2 cells, the header has 4"},
		"over-long":     {head + line(ours, "2026-02-01", strings.Repeat("x", 501), ""), "2 location is too long"},
		"after lines":   {head + line(ours, "2026-02-01", "\"a\nb\"", "") + line("x", "2026-02-01", "", ""), "2 location has characters that cannot be shown; 4 条码 is no code"},
		"quotes":        {head + good + ours + ",\"2026\"x,,\n" + good, "3  its quotes do not match"},
	} {
		p, err := w.Preview(t.Context(), table(), []byte(c.text))
		var got []string
		for _, e := range p.Errors {
			got = append(got, fmt.Sprint(e.Line, " ", e.Column, " ", e.Reason))
		}
		if all := strings.Join(got, "; "); err != nil || !strings.HasPrefix(all, strings.SplitN(c.want, "; ", 2)[0]) || (c.want == "") != (p.Bad == 0) || !strings.Contains(all, c.want[strings.LastIndex(c.want, ";")+1:]) {
			t.Errorf("%s: %v, %q, want %q", what, err, all, c.want)
		}
	}
	p, err := w.Preview(t.Context(), table(), []byte(head+good))
	if err != nil || p.Rows != 1 || p.Charset != "utf-8" || len(p.Sample) != 1 || p.Sample[0].Details["inspector"] != "王敏" ||
		!p.Sample[0].Time.Equal(time.Date(2026, 2, 1, 0, 30, 0, 0, time.UTC)) || p.Columns[0] != (Column{"条码", "code"}) {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestFilesThatAreNoTables(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const good = "code,time\n" + ours + ",2026-02-01T08:00:00Z\n"
	utf16, err := unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewEncoder().Bytes([]byte(good))
	if err != nil {
		t.Fatal(err)
	}
	plain := Table{Brand: 1, Source: MES, Stage: "production"}
	for what, c := range map[string]struct {
		text string
		with func(t *Table)
		want string
	}{
		"good":             {good, nil, ""},
		"with a mark":      {"\xef\xbb\xbf" + good, nil, ""},
		"empty":            {"", nil, "must name the columns"},
		"UTF-16":           {string(utf16), nil, "UTF-16"},
		"NUL":              {good + "\x00", nil, "zero bytes"},
		"zip":              {"PK\x03\x04\xff\xff\x80", nil, "no encoding"},
		"not as it says":   {good + "\xff", func(t *Table) { t.Charset = "utf-8" }, "not in UTF-8"},
		"charset":          {good, func(t *Table) { t.Charset = "ebcdic" }, "no encoding"},
		"unknown column":   {"code,time,色\n", nil, "色 is a column that nothing is known of"},
		"left out":         {"code,time,色\n" + ours + ",2026-02-01T08:00:00Z,红\n", func(t *Table) { t.Ignore = []string{"色"} }, ""},
		"twice":            {"code,time,code\n", nil, "as another column is"},
		"no such column":   {good, func(t *Table) { t.Columns = map[string]string{"x": "location"} }, "names a column that the file has not"},
		"no such field":    {good, func(t *Table) { t.Columns = map[string]string{"x": "brand_id"} }, "names a field that there is not"},
		"no such detail":   {good, func(t *Table) { t.Columns = map[string]string{"x": "details.<b>"} }, "names a field that there is not"},
		"no such source":   {good, func(t *Table) { t.Source = "CRM" }, "data_source"},
		"no such stage":    {good, func(t *Table) { t.Stage = "end" }, "trace_type"},
		"too many columns": {strings.Repeat("x,", columnsMax+1) + "\n", nil, "more than"},
		"too many bytes":   {good + strings.Repeat("x", TableBytesMax), nil, "cut it"},
		"too many rows":    {"code,time\n" + strings.Repeat("1,2\n", TableRowsMax+1), nil, "cut it"},
		"name of a column": {"code,\x07\n", nil, "cannot be shown"},
		"brand":            {good, func(t *Table) { t.Brand = 3 }, "no such brand"},
	} {
		tab := plain
		if c.with != nil {
			c.with(&tab)
		}
		p, err := w.Preview(t.Context(), tab, []byte(c.text))
		if c.want == "" && (err != nil || p.Bad > 0) || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v %+v, want %q", what, err, p.Errors, c.want)
		}
	}
	p, err := w.Preview(t.Context(), plain, []byte("code,time\n"+ours+",2026-02-01\n"))
	if err != nil || p.Bad != 1 || !strings.Contains(p.Errors[0].Reason, "has no zone") {
		t.Errorf("a date without a zone: %+v %v", p, err)
	}
}

// TestGBK: a file as office programs in China save it, said or not.
func TestGBK(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	raw, err := simplifiedchinese.GBK.NewEncoder().Bytes([]byte("条码,time,location,检验员\n" + ours + ",2026-02-01,仁怀一车间,王敏\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, charset := range []string{"", "GBK", "gb18030", "gb2312"} {
		tab := table()
		tab.Charset = charset
		p, err := w.Preview(t.Context(), tab, raw)
		if err != nil || p.Bad > 0 || p.Charset != "gb18030" || p.Sample[0].Location != "仁怀一车间" || p.Sample[0].Details["inspector"] != "王敏" {
			t.Errorf("%q: %+v, %v", charset, p, err)
		}
	}
}

// TestImportRefusesAFileWithAWrongLine: nothing of it is kept.
func TestImportRefusesAFileWithAWrongLine(t *testing.T) {
	t.Parallel()
	w := newWorld(t)                                                                                                                       // its store keeps no file: to try would panic
	_, _, _, err := w.Import(t.Context(), ids.Request{}, "alice", table(), []byte("条码,time,检验员\n"+ours+",2026-02-01,a\nx,2026-02-01,b\n")) //nolint:dogsled // only why it was refused is of interest
	f, _ := fault.From(err)
	if !errors.Is(err, ErrBadLines) || len(f.Details) != 1 || f.Details[0].Field != "line 3, 条码" {
		t.Errorf("%v %+v", err, f)
	}
	if _, _, _, err := w.Import(t.Context(), ids.Request{}, "alice", table(), []byte("条码,time,检验员\n")); !errors.Is(err, ErrTable) {
		t.Errorf("no lines: %v", err)
	}
}

func FuzzPreview(f *testing.F) {
	f.Add([]byte("code,time\n" + ours + ",2026-02-01T08:00:00Z\n"))
	f.Add([]byte("code,\"time\n\xff\xfe=,@"))
	f.Add([]byte("code,time,details.a\n1,2,-\n,,\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		s := &Service{Config: Config{Clock: clock.Func(start)}, Deps: Deps{Catalog: oneBrand{}}}
		p, rows, err := s.read(t.Context(), Table{Brand: 1, Source: MES, Stage: "sales", Zone: time.UTC}, raw)
		if err == nil && p.Rows != p.Bad+len(rows) {
			t.Errorf("%d lines, %d of them bad, %d rows", p.Rows, p.Bad, len(rows))
		}
		for i := range rows {
			if bad := rows[i].check(start()); len(bad) > 0 {
				t.Errorf("row %+v is taken with %v", rows[i], bad)
			}
		}
	})
}
