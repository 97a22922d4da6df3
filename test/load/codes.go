package load

import (
	"archive/zip"
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
)

const (
	digits    = 18
	codeSpace = 1_000_000_000_000_000_000
	// CodesMax is how many codes a run holds, 12 bytes each.
	CodesMax = 50_000_000
)

// Codes are sorted and unique. A code says nothing of its number, so this order is
// as good as a random one.
type Codes []uint64

// ReadCodes reads a CSV with a column "code", or a zip with one such file.
func ReadCodes(file string) (codes Codes, err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	in := bufio.NewReaderSize(f, 64<<10)
	if magic, err := in.Peek(4); err == nil && string(magic) == "PK\x03\x04" {
		codes, err = readZip(f)
		return codes, inFile(file, err)
	}
	codes, err = readCSV(in)
	return codes, inFile(file, err)
}

func inFile(file string, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}

func readZip(f *os.File) (Codes, error) {
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	z, err := zip.NewReader(f, st.Size())
	if err != nil {
		return nil, err
	}
	if len(z.File) != 1 {
		return nil, fmt.Errorf("a zip with %d files; it must hold one CSV", len(z.File))
	}
	r, err := z.File[0].Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return readCSV(r)
}

func readCSV(from io.Reader) (Codes, error) {
	in := csv.NewReader(from)
	in.ReuseRecord = true
	head, err := in.Read()
	if err != nil {
		return nil, fmt.Errorf("no header line such as no,code,url: %w", err)
	}
	column := slices.Index(head, "code")
	if column < 0 {
		return nil, errors.New("the header line has no column \"code\"")
	}
	var codes Codes
	for {
		row, err := in.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		code, err := parseCode(row[column])
		if err != nil {
			line, _ := in.FieldPos(column)
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
		if len(codes) == CodesMax {
			return nil, fmt.Errorf("more than %d codes", CodesMax)
		}
		codes = append(codes, code)
	}
	return NewCodes(codes)
}

func parseCode(text string) (uint64, error) {
	code, err := strconv.ParseUint(text, 10, 64)
	if err != nil || len(text) != digits || text[0] == '+' {
		return 0, fmt.Errorf("%q is not 18 digits", text)
	}
	return code, nil
}

// NewCodes sorts codes in place.
func NewCodes(codes []uint64) (Codes, error) {
	if len(codes) == 0 {
		return nil, errors.New("no codes")
	}
	slices.Sort(codes)
	return slices.Clip(slices.Compact(codes)), nil
}

// forge gives digits that are none of the codes.
func (c Codes) forge() uint64 {
	for {
		code := rand.Uint64N(codeSpace)
		if _, ours := slices.BinarySearch(c, code); !ours {
			return code
		}
	}
}

func appendCode(b []byte, code uint64) []byte {
	var text [digits]byte
	for i := digits - 1; i >= 0; i-- {
		text[i] = byte('0' + code%10)
		code /= 10
	}
	return append(b, text[:]...)
}
