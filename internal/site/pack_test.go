package site

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"slices"
	"strings"
	"testing"
	"text/template/parse"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
)

// BenchmarkPack compares how a page may be compressed: whole at each request, as it is
// done (httpx.Packer), or out of parts: what is the same in all pages of a verdict was
// compressed once, and what differs goes between. Over 2G (50 kbit/s) a byte is 160 µs of
// somebody's wait, whole pages a few tens of µs of ours.
func BenchmarkPack(b *testing.B) {
	s := newSite(b)
	for _, lang := range []string{"zh", "en"} {
		page := []byte(render(b, s, sample(lang, "authentic")))
		parts := partsOf(b, s.language(lang).verdicts["authentic"].Tree.Root, page)
		for _, way := range []struct {
			name string
			pack func(to *bytes.Buffer)
		}{
			{"whole", wholly(b, page, gzip.DefaultCompression)}, {"whole, best", wholly(b, page, gzip.BestCompression)},
			{"parts", func(to *bytes.Buffer) { joinParts(to, page, parts) }},
		} {
			b.Run(lang+"/"+way.name, func(b *testing.B) {
				var to bytes.Buffer
				for b.Loop() {
					to.Reset()
					way.pack(&to)
				}
				b.ReportMetric(float64(to.Len()), "bytes")
				wantUnpacked(b, to.Bytes(), page)
			})
		}
	}
}

func wholly(b *testing.B, page []byte, level int) func(to *bytes.Buffer) {
	z, err := gzip.NewWriterLevel(nil, level)
	if err != nil {
		b.Fatal(err)
	}
	return func(to *bytes.Buffer) {
		z.Reset(to)
		if _, err := z.Write(page); err != nil {
			b.Fatal(err)
		}
		if err := z.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// part is a piece of a page; packed is nil for one that differs.
type part struct{ plain, packed []byte }

// partsOf finds in a page the texts that its template always writes.
func partsOf(b *testing.B, n parse.Node, page []byte) (parts []part) {
	const worth = 24 // bytes: a block of its own costs nine
	rest := page
	for _, text := range texts(n) {
		before, after, found := bytes.Cut(rest, text)
		if len(text) < worth || !found {
			continue
		}
		var packed bytes.Buffer
		z, err := flate.NewWriter(&packed, flate.BestCompression)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := z.Write(text); err != nil {
			b.Fatal(err)
		}
		if err := z.Flush(); err != nil {
			b.Fatal(err)
		}
		parts, rest = append(parts, part{plain: before}, part{text, packed.Bytes()}), after
	}
	if len(parts) < 4 {
		b.Fatalf("found %d parts", len(parts))
	}
	return append(parts, part{plain: rest})
}

// texts are those of a template, in their order.
func texts(n parse.Node) (all [][]byte) {
	list := func(lists ...*parse.ListNode) {
		for _, l := range lists {
			if l == nil {
				continue
			}
			for _, one := range l.Nodes {
				all = append(all, texts(one)...)
			}
		}
	}
	switch n := n.(type) {
	case *parse.TextNode:
		return [][]byte{n.Text}
	case *parse.ListNode:
		list(n)
	case *parse.IfNode:
		list(n.List, n.ElseList)
	case *parse.WithNode:
		list(n.List, n.ElseList)
	case *parse.RangeNode:
		list(n.List, n.ElseList)
	}
	return all
}

// joinParts writes gzip's form: parts as they were compressed, the rest as stored blocks.
func joinParts(to *bytes.Buffer, page []byte, parts []part) {
	to.Write([]byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255})
	for i := range parts {
		if parts[i].packed != nil {
			to.Write(parts[i].packed)
		} else if n := len(parts[i].plain); n > 0 {
			to.WriteByte(0)
			to.Write(binary.LittleEndian.AppendUint16(binary.LittleEndian.AppendUint16(to.AvailableBuffer(), uint16(n)), ^uint16(n)))
			to.Write(parts[i].plain)
		}
	}
	to.Write([]byte{1, 0, 0, 0xff, 0xff})
	to.Write(binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(to.AvailableBuffer(), crc32.ChecksumIEEE(page)), uint32(len(page))))
}

func wantUnpacked(b *testing.B, packed, page []byte) {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		b.Fatal(err)
	}
	if got, err := io.ReadAll(z); err != nil || !slices.Equal(got, page) {
		b.Fatalf("%v, %d bytes: %.200s", err, len(got), strings.ToValidUTF8(string(got), "?"))
	}
}
