package codebook

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/chopmark/chopmark/internal/ids"
)

// documented reads the table under one heading of docs/codebook.md: rows of
// cells, the last of them in backquotes.
func documented(t *testing.T, heading string) [][]string {
	t.Helper()
	doc, err := os.ReadFile("../../docs/codebook.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(doc), "\n## "+heading+"\n")
	if !ok {
		t.Fatalf("docs/codebook.md has no section %q", heading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	var rows [][]string
	for line := range strings.Lines(section) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "| "), " | ")
		if strings.HasPrefix(line, "| ") && strings.HasSuffix(cells[len(cells)-1], "`") {
			rows = append(rows, cells)
		}
	}
	if len(rows) != 5 {
		t.Fatalf("section %q has %d vectors, want 5", heading, len(rows))
	}
	return rows
}

func number(t *testing.T, s string) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestDocumentedVectors holds the implementation and docs/codebook.md to each
// other. The vectors come from a second implementation, in another language.
func TestDocumentedVectors(t *testing.T) {
	t.Parallel()
	var key [32]byte
	for i := range key {
		key[i] = byte(i)
	}
	for _, row := range documented(t, "Item code") {
		if got := "`" + NewItems(key3(t)).Code(ids.Serial(number(t, row[0]))).String() + "`"; got != row[1] {
			t.Errorf("item code of %v = %s", row, got)
		}
	}
	for _, row := range documented(t, "Link token") {
		s, version := ids.Serial(number(t, row[0])), uint16(number(t, row[1]))
		period, epoch := uint32(number(t, row[2])), number(t, row[3])
		token := mustToken(t, NewLinks(key), s, version, period, epoch)
		if got := "`" + token.String() + "`"; got != row[4] {
			t.Errorf("token of %v = %s", row, got)
		}
		if !NewLinks(key).Check(token, s, version, period) {
			t.Errorf("token of %v does not verify", row)
		}
	}
	for _, row := range documented(t, "Inner code") {
		if got := "`" + NewInner(key).Code(ids.Serial(number(t, row[0]))).String() + "`"; got != row[1] {
			t.Errorf("inner code of %v = %s", row, got)
		}
	}
}
