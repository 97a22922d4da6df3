package batchfile

import (
	"encoding/binary"
	"time"
)

// The frame of a zip with one deflated entry, written front to back (PKWARE
// APPNOTE 6.3.10, sections 4.3.7 to 4.3.16). archive/zip cannot be used: it does
// not go on with an entry that another process began.
const (
	zipEntry = "codes.csv"

	zipVersion    = 20 // deflate
	zipVersionBig = 45 // zip64
	zipUnix       = 3 << 8
	zipMode       = 0o100644 << 16
	zipDeflate    = 8
	zipDescriptor = 1 << 3 // flag: sizes and CRC follow the data

	zipExtraBig   = 1 // tag of the zip64 extra field
	zipSizesBytes = 16
	zipEndBytes   = 44 // of the zip64 end record, after its own size field

	zipOver = 1<<32 - 1 // in a 32-bit field: look at the zip64 one
)

// zipFrame is what the frame must know before the data.
type zipFrame struct {
	at time.Time // shown as the entry's time, in UTC
	// big is the zip64 form. It is decided before the first byte, because the local
	// header tells a reader of a stream how wide the sizes behind the data are.
	big bool
}

// deflateEnd is the empty last block that ends a deflate stream.
func deflateEnd() []byte { return []byte{3, 0} }

func (f zipFrame) common(dst []byte) []byte {
	le := binary.LittleEndian
	version := uint16(zipVersion)
	if f.big {
		version = zipVersionBig
	}
	dst = le.AppendUint16(dst, version)
	dst = le.AppendUint16(dst, zipDescriptor)
	dst = le.AppendUint16(dst, zipDeflate)
	dst = le.AppendUint16(dst, uint16(f.at.Hour()<<11|f.at.Minute()<<5|f.at.Second()/2))
	return le.AppendUint16(dst, uint16((max(f.at.Year(), 1980)-1980)<<9|int(f.at.Month())<<5|f.at.Day()))
}

// sizes appends CRC, the two sizes and the lengths of name and extra field.
func (f zipFrame) sizes(dst []byte, crc uint32, packed, plain int64) []byte {
	le := binary.LittleEndian
	extra := uint16(0)
	if f.big {
		packed, plain, extra = zipOver, zipOver, 4+zipSizesBytes
	}
	dst = le.AppendUint32(dst, crc)
	dst = le.AppendUint32(dst, uint32(packed))
	dst = le.AppendUint32(dst, uint32(plain))
	dst = le.AppendUint16(dst, uint16(len(zipEntry)))
	return le.AppendUint16(dst, extra)
}

func (f zipFrame) name(dst []byte, packed, plain int64) []byte {
	le := binary.LittleEndian
	dst = append(dst, zipEntry...)
	if !f.big {
		return dst
	}
	dst = le.AppendUint16(dst, zipExtraBig)
	dst = le.AppendUint16(dst, zipSizesBytes)
	dst = le.AppendUint64(dst, uint64(plain))
	return le.AppendUint64(dst, uint64(packed))
}

// head is the local file header: what comes before the data.
func (f zipFrame) head() []byte {
	dst := f.common([]byte("PK\x03\x04"))
	return f.name(f.sizes(dst, 0, 0, 0), 0, 0)
}

// tail is everything behind the data: descriptor, central directory, end records.
func (f zipFrame) tail(crc uint32, packed, plain int64) []byte {
	le := binary.LittleEndian
	dst := le.AppendUint32([]byte("PK\x07\x08"), crc)
	if f.big {
		dst = le.AppendUint64(le.AppendUint64(dst, uint64(packed)), uint64(plain))
	} else {
		dst = le.AppendUint32(le.AppendUint32(dst, uint32(packed)), uint32(plain))
	}
	start := len(dst)
	directory := int64(len(f.head())) + packed + int64(start)

	dst = append(dst, "PK\x01\x02"...)
	dst = le.AppendUint16(dst, zipUnix|zipVersionBig)
	dst = f.sizes(f.common(dst), crc, packed, plain)
	dst = append(dst, 0, 0, 0, 0, 0, 0) // no comment, first disk, binary
	dst = le.AppendUint32(dst, zipMode)
	dst = le.AppendUint32(dst, 0) // the entry begins where the file does
	dst = f.name(dst, packed, plain)
	size := int64(len(dst) - start)

	if f.big {
		dst = bigEnd(dst, directory, size)
		directory = zipOver
	}
	dst = append(dst, "PK\x05\x06\x00\x00\x00\x00\x01\x00\x01\x00"...) // one disk, one entry
	dst = le.AppendUint32(dst, uint32(size))
	dst = le.AppendUint32(dst, uint32(directory))
	return append(dst, 0, 0) // no comment
}

// bigEnd appends the zip64 end record and the locator that points to it.
func bigEnd(dst []byte, directory, size int64) []byte {
	le := binary.LittleEndian
	dst = le.AppendUint64(append(dst, "PK\x06\x06"...), zipEndBytes)
	dst = le.AppendUint16(dst, zipUnix|zipVersionBig)
	dst = le.AppendUint16(dst, zipVersionBig)
	dst = le.AppendUint64(dst, 0) // this disk, and that of the directory
	dst = le.AppendUint64(dst, 1) // entries on this disk
	dst = le.AppendUint64(dst, 1) // and in all
	dst = le.AppendUint64(dst, uint64(size))
	dst = le.AppendUint64(dst, uint64(directory))
	dst = le.AppendUint32(append(dst, "PK\x06\x07"...), 0)
	dst = le.AppendUint64(dst, uint64(directory+size))
	return le.AppendUint32(dst, 1) // disks
}
