package verify

import (
	"errors"
	"testing"

	"github.com/chopmark/chopmark/internal/codebook"
	"github.com/chopmark/chopmark/internal/ids"
)

// TestLabels: a signature that fits changes nothing; one that does not, or that another key
// or another item has, is refused like an unknown code, and is not counted.
func TestLabels(t *testing.T) {
	t.Parallel()
	claims := codebook.LabelClaims{IssuedAt: created, Lot: "LOT-1"}
	code, other := book.Code(testSerial), book.Code(testSerial+1)
	good := string(labelKey.Batch(claims).AppendSignature(nil, code))
	last := byte('0')
	if good[40] == '0' {
		last = '1'
	}
	keyID := labelKey.Key().ID().String()
	for name, c := range map[string]struct {
		label, keyID string
		serial       ids.Serial
		refused      bool
	}{
		"none":            {"", keyID, testSerial, false},
		"none, none due":  {"", "", testSerial, false},
		"fits":            {good, keyID, testSerial, false},
		"altered":         {good[:40] + string(last) + good[41:], keyID, testSerial, true},
		"cut":             {good[:80], keyID, testSerial, true},
		"other item's":    {string(labelKey.Batch(claims).AppendSignature(nil, other)), keyID, testSerial, true},
		"alien key":       {string(codebook.NewLabelSigner([32]byte{9}).Batch(claims).AppendSignature(nil, code)), keyID, testSerial, true},
		"unsigned batch":  {good, "", testSerial, true},
		"other batch key": {good, "00000000", testSerial, true},
		"unknown code":    {string(labelKey.Batch(claims).AppendSignature(nil, other)), keyID, testSerial + 1, true},
	} {
		s := newShelf()
		s.item.SignatureKeyID = c.keyID
		_, err := s.ask(Query{Label: c.label, Count: true, Code: book.Code(c.serial)})
		if refused := errors.Is(err, ErrRefused); refused != c.refused || err != nil && !refused {
			t.Errorf("%s: %v", name, err)
		}
		if c.refused == (s.records > 0) {
			t.Errorf("%s: %d scans were counted", name, s.records)
		}
	}
}
