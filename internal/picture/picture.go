// Package picture takes pictures from strangers.
//
// Promise: what Clean gives is a still picture of the kind that its bytes say, whatever it was called, and tells nothing
// of place, device, time or owner (TestPictures). No pixel is unpacked, so a small file costs no large memory
// (TestRefusals).
package picture

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"image/jpeg"
	"image/png"

	"github.com/chopmark/chopmark/internal/platform/fault"
)

// Kind is what a picture is, by its bytes.
type Kind string

// The kinds; they are the endings of the files.
const (
	None Kind = ""
	JPEG Kind = "jpg"
	PNG  Kind = "png"
	WebP Kind = "webp"
)

// ContentType is the kind's media type.
func (k Kind) ContentType() string {
	if k == JPEG {
		return "image/jpeg"
	}
	return "image/" + string(k)
}

const (
	sideMax   = 12_000
	pixelsMax = 50_000_000 // what phones take; nothing here unpacks them
)

// What is wrong with a picture.
var (
	ErrKind    = fault.New(fault.Unsupported, "picture.kind", "must be JPEG, PNG or WebP")
	ErrDamaged = fault.New(fault.Invalid, "picture.damaged", "cannot be read, or has more than %d pixels", pixelsMax)
)

// Clean gives the picture alone: what tells of place, device, time or owner (EXIF, XMP,
// texts, thumbnails, what follows the picture) is left out. How a JPEG is turned is kept,
// in an EXIF of its own. The pixels are not unpacked.
func Clean(raw []byte) ([]byte, Kind, error) {
	var clean []byte
	var width, height int
	var kind Kind
	switch {
	case bytes.HasPrefix(raw, []byte("\xff\xd8\xff")):
		kind, clean = JPEG, cleanJPEG(raw)
		if c, err := jpeg.DecodeConfig(bytes.NewReader(clean)); err == nil {
			width, height = c.Width, c.Height
		}
	case bytes.HasPrefix(raw, []byte(pngMagic)):
		kind, clean = PNG, cleanPNG(raw)
		if c, err := png.DecodeConfig(bytes.NewReader(clean)); err == nil {
			width, height = c.Width, c.Height
		}
	case len(raw) > 12 && string(raw[:4]) == "RIFF" && string(raw[8:12]) == "WEBP":
		kind = WebP
		clean, width, height = cleanWebP(raw)
	default:
		return nil, None, ErrKind
	}
	if clean == nil || width < 1 || height < 1 || width > sideMax || height > sideMax || width*height > pixelsMax {
		return nil, None, ErrDamaged
	}
	return clean, kind, nil
}

// cleanJPEG keeps the segments that a decoder needs; nil when they do not end in a picture's
// end. Segments and entropy-coded data are told apart as ISO/IEC 10918-1, B.1.1 says.
func cleanJPEG(raw []byte) []byte {
	out := append(make([]byte, 0, len(raw)), raw[:2]...)
	turned := byte(1)
	for at, scan := 2, false; at+2 <= len(raw); {
		marker := raw[at+1]
		switch {
		case raw[at] != 0xff && !scan:
			return nil
		case scan && (raw[at] != 0xff || marker == 0 || marker >= 0xd0 && marker <= 0xd7):
			out = append(out, raw[at])
			at++
			continue
		case marker == 0xff: // fill byte
			at++
			continue
		case marker == 0xd9:
			return withOrientation(append(out, 0xff, 0xd9), turned)
		case at+4 > len(raw):
			return nil
		}
		size := 2 + int(binary.BigEndian.Uint16(raw[at+2:]))
		if size < 4 || at+size > len(raw) {
			return nil
		}
		segment := raw[at : at+size]
		switch {
		case marker == 0xe1 && turned == 1:
			turned = orientation(segment[4:])
		case marker >= 0xe0 && marker <= 0xef && marker != 0xee, marker == 0xfe: // APPn but Adobe's, comments
		default:
			out = append(out, segment...)
		}
		at += size
		scan = marker == 0xda
	}
	return nil
}

// orientation reads tag 0x0112 of an EXIF segment; 1 when there is none.
func orientation(exif []byte) byte {
	tiff, ok := bytes.CutPrefix(exif, []byte("Exif\x00\x00"))
	if !ok || len(tiff) < 8 {
		return 1
	}
	var order binary.ByteOrder = binary.BigEndian
	if tiff[0] == 'I' {
		order = binary.LittleEndian
	}
	ifd := order.Uint32(tiff[4:])
	if uint64(ifd)+2 > uint64(len(tiff)) {
		return 1
	}
	entries := tiff[ifd+2:]
	for range order.Uint16(tiff[ifd:]) {
		if len(entries) < 12 {
			return 1
		}
		if v := order.Uint16(entries[8:]); order.Uint16(entries) == 0x0112 && v >= 1 && v <= 8 {
			return byte(v)
		}
		entries = entries[12:]
	}
	return 1
}

// withOrientation puts an EXIF that says nothing else behind the start.
func withOrientation(jpg []byte, turned byte) []byte {
	if turned == 1 {
		return jpg
	}
	exif := []byte("\xff\xe1\x00\x22Exif\x00\x00MM\x00\x2a\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00" + string(rune(turned)) + "\x00\x00\x00\x00\x00\x00")
	return append(append(bytes.Clone(jpg[:2]), exif...), jpg[2:]...)
}

const pngMagic = "\x89PNG\r\n\x1a\n"

// cleanPNG keeps the chunks that change what is seen.
func cleanPNG(raw []byte) []byte {
	out := append(make([]byte, 0, len(raw)), pngMagic...)
	for rest := raw[len(pngMagic):]; len(rest) >= 12; {
		size := uint64(binary.BigEndian.Uint32(rest)) + 12
		if size > uint64(len(rest)) {
			return nil
		}
		chunk := rest[:size]
		rest = rest[size:]
		if binary.BigEndian.Uint32(chunk[size-4:]) != crc32.ChecksumIEEE(chunk[4:size-4]) {
			return nil
		}
		switch string(chunk[4:8]) {
		case "IEND":
			return append(out, chunk...)
		case "IHDR", "PLTE", "IDAT", "tRNS", "gAMA", "cHRM", "sRGB":
			out = append(out, chunk...)
		}
	}
	return nil
}

// cleanWebP keeps the still picture and its transparency (RFC 9649).
func cleanWebP(raw []byte) (out []byte, width, height int) {
	end := uint64(binary.LittleEndian.Uint32(raw[4:])) + 8
	if end < 12 || end > uint64(len(raw)) {
		return nil, 0, 0
	}
	out = append(make([]byte, 0, len(raw)), raw[:12]...)
	whole := false
	for rest := raw[12:end]; len(rest) >= 8; {
		size := uint64(binary.LittleEndian.Uint32(rest[4:]))
		padded := 8 + size + size&1
		if padded > uint64(len(rest)) {
			return nil, 0, 0
		}
		chunk := bytes.Clone(rest[:padded])
		data := chunk[8 : 8+size]
		rest = rest[padded:]
		var w, h int
		switch kind := string(chunk[:4]); {
		case kind == "VP8X" && size >= 10:
			if data[0]&0x02 != 0 {
				return nil, 0, 0 // it moves
			}
			data[0] &= 0x10 // transparency
			w, h = 1+u24(data[4:]), 1+u24(data[7:])
		case kind == "VP8 " && size >= 10 && string(data[3:6]) == "\x9d\x01\x2a":
			w, h, whole = int(binary.LittleEndian.Uint16(data[6:])&0x3fff), int(binary.LittleEndian.Uint16(data[8:])&0x3fff), true
		case kind == "VP8L" && size >= 5 && data[0] == 0x2f:
			bits := binary.LittleEndian.Uint32(data[1:])
			w, h, whole = int(bits&0x3fff)+1, int(bits>>14&0x3fff)+1, true
		case kind == "ALPH":
		default:
			continue
		}
		width, height = max(width, w), max(height, h)
		out = append(out, chunk...)
	}
	if !whole {
		return nil, 0, 0
	}
	binary.LittleEndian.PutUint32(out[4:], uint32(len(out)-8))
	return out, width, height
}

func u24(b []byte) int { return int(b[0]) | int(b[1])<<8 | int(b[2])<<16 }
