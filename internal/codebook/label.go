package codebook

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"time"

	"github.com/chopmark/chopmark/internal/platform/fault"
)

// The layout of a label's signature: where it changes, printed labels stop verifying
// (docs/label-signature.md).
const (
	labelDomain  = "chopmark/label/1"
	labelFormat  = 1 << 4 // the high half of the first byte
	labelGTIN    = 1      // flags in its low half
	labelExpires = 2
	labelLot     = 4

	labelHeadMin  = 1 + keyIDBytes + momentBytes
	labelHeadMax  = labelHeadMin + gtinBytes + momentBytes + 1 + LotBytesMax
	labelCharsMax = ((labelHeadMax+ed25519.SignatureSize)*8 + 4) / 5

	keyIDBytes  = 4
	momentBytes = 5 // seconds since 1970: until the year 36812
	gtinBytes   = 6
	gtinDigits  = 14

	// LotBytesMax is the longest lot that a label's signature carries.
	LotBytesMax = 64
)

// LabelParam is the query parameter of a link that carries a label's signature.
const LabelParam = "s"

// LabelKeyID names a signature key: the first four bytes of the SHA-256 of the public key.
type LabelKeyID [keyIDBytes]byte

// String is the name in eight lower-case hex digits.
func (id LabelKeyID) String() string { return hex.EncodeToString(id[:]) }

// ParseLabelKeyID reads what String wrote.
func ParseLabelKeyID(s string) (id LabelKeyID, ok bool) {
	if len(s) != 2*keyIDBytes {
		return id, false
	}
	_, err := hex.Decode(id[:], []byte(s))
	return id, err == nil && id.String() == s
}

// LabelClaims is what a signature says of every item of a batch. Times are whole seconds.
type LabelClaims struct {
	IssuedAt time.Time // when the batch was made
	GTIN     string    // 14 digits; "" = none
	Lot      string    // at most LotBytesMax bytes; "" = none
	Expires  time.Time // zero = never
}

// appendHead writes the claims under a key's name.
func (c *LabelClaims) appendHead(dst []byte, id LabelKeyID) []byte {
	first := byte(labelFormat)
	at := len(dst)
	dst = appendMoment(append(append(dst, 0), id[:]...), c.IssuedAt)
	if n, err := strconv.ParseUint(c.GTIN, 10, 48); err == nil && len(c.GTIN) == gtinDigits {
		first |= labelGTIN
		dst = binary.BigEndian.AppendUint16(dst, uint16(n>>32))
		dst = binary.BigEndian.AppendUint32(dst, uint32(n))
	}
	if !c.Expires.IsZero() {
		first |= labelExpires
		dst = appendMoment(dst, c.Expires)
	}
	if lot := c.Lot[:min(len(c.Lot), LotBytesMax)]; lot != "" {
		first |= labelLot
		dst = append(append(dst, byte(len(lot))), lot...)
	}
	dst[at] = first
	return dst
}

func appendMoment(dst []byte, t time.Time) []byte {
	s := uint64(max(t.Unix(), 0))
	return binary.BigEndian.AppendUint32(append(dst, byte(s>>32)), uint32(s))
}

func moment(b []byte) time.Time {
	return time.Unix(int64(uint64(b[0])<<32|uint64(binary.BigEndian.Uint32(b[1:momentBytes]))), 0).UTC()
}

// message is what is signed: the domain, the code, the head. The code is the nonce: no two
// items have the same, and none can be foreseen.
func labelMessage(buf []byte, code Code, head []byte) []byte {
	return append(append(append(buf, labelDomain...), code[:]...), head...)
}

// LabelSigner signs labels under one key.
type LabelSigner struct {
	private ed25519.PrivateKey
	key     *LabelKey
}

// NewLabelSigner makes the signer of one seed.
func NewLabelSigner(seed [ed25519.SeedSize]byte) *LabelSigner {
	private := ed25519.NewKeyFromSeed(seed[:])
	return &LabelSigner{private, NewLabelKey([ed25519.PublicKeySize]byte(private[ed25519.SeedSize:]))} // the seed, then the public key
}

// Key is what verifies the signer's labels.
func (s *LabelSigner) Key() *LabelKey { return s.key }

// Batch makes what signs the items of one batch.
func (s *LabelSigner) Batch(c LabelClaims) *BatchSigner {
	return &BatchSigner{s.private, c.appendHead(nil, s.key.id)}
}

// BatchSigner signs the items of one batch. The same item gets the same text, always.
type BatchSigner struct {
	private ed25519.PrivateKey
	head    []byte
}

// AppendSignature appends the text that goes into the link of an item: Crockford's base 32
// of the head and the signature, in upper case.
func (b *BatchSigner) AppendSignature(dst []byte, code Code) []byte {
	var buf [len(labelDomain) + CodeDigits + labelHeadMax]byte
	sum := ed25519.Sign(b.private, labelMessage(buf[:0], code, b.head))
	var raw [labelHeadMax + ed25519.SignatureSize]byte
	return appendBase32(dst, append(append(raw[:0], b.head...), sum...))
}

// LabelKey verifies what one key signed.
type LabelKey struct {
	public ed25519.PublicKey
	id     LabelKeyID
}

// NewLabelKey makes it of the public key.
func NewLabelKey(public [ed25519.PublicKeySize]byte) *LabelKey {
	sum := sha256.Sum256(public[:])
	return &LabelKey{public[:], LabelKeyID(sum[:keyIDBytes])}
}

// ID names the key.
func (k *LabelKey) ID() LabelKeyID { return k.id }

// Public is the key's 32 bytes.
func (k *LabelKey) Public() [ed25519.PublicKeySize]byte {
	return [ed25519.PublicKeySize]byte(k.public)
}

// Check reports whether the key signed this label.
func (k *LabelKey) Check(l *Label) bool {
	var buf [len(labelDomain) + CodeDigits + labelHeadMax]byte
	return k.id == l.KeyID && ed25519.Verify(k.public, labelMessage(buf[:0], l.Code, l.head), l.signature)
}

// Label is a signature as it was read. Everything in it is a claim until a LabelKey agrees.
type Label struct {
	LabelClaims
	Code  Code
	KeyID LabelKeyID

	head, signature []byte
}

// ErrLabel answers a text that no label carries.
var ErrLabel = fault.Field("label.malformed", "s", "is not a label's signature")

// ParseLabel reads the text that a link carries beside its code, in any case and with
// Crockford's aliases. It takes only what AppendSignature can have written.
func ParseLabel(code Code, text string) (*Label, error) {
	if len(text) > labelCharsMax {
		return nil, ErrLabel
	}
	raw, ok := readBase32(text)
	if !ok || len(raw) < labelHeadMin+ed25519.SignatureSize || raw[0]&^(labelGTIN|labelExpires|labelLot) != labelFormat {
		return nil, ErrLabel
	}
	head := raw[:len(raw)-ed25519.SignatureSize]
	l := &Label{Code: code, KeyID: LabelKeyID(head[1:]), head: head, signature: raw[len(head):]}
	rest := head[1+keyIDBytes:]
	take := func(n int) []byte {
		if ok = ok && len(rest) >= n; !ok {
			return make([]byte, n)
		}
		part := rest[:n]
		rest = rest[n:]
		return part
	}
	l.IssuedAt = moment(take(momentBytes))
	if head[0]&labelGTIN != 0 {
		b := take(gtinBytes)
		digits := strconv.FormatUint(uint64(binary.BigEndian.Uint16(b))<<32|uint64(binary.BigEndian.Uint32(b[2:])), 10)
		if ok = ok && len(digits) <= gtinDigits; ok {
			l.GTIN = "00000000000000"[len(digits):] + digits
		}
	}
	if head[0]&labelExpires != 0 {
		l.Expires = moment(take(momentBytes))
	}
	if head[0]&labelLot != 0 {
		n := int(take(1)[0])
		ok = ok && n > 0 && n <= LotBytesMax
		l.Lot = string(take(n))
	}
	if !ok || len(rest) != 0 {
		return nil, ErrLabel
	}
	return l, nil
}

// appendBase32 writes bytes five bits at a time, the first bit first, the last character
// filled up with zeros.
func appendBase32(dst, raw []byte) []byte {
	var acc, bits uint
	for _, b := range raw {
		acc, bits = acc<<8|uint(b), bits+8
		for ; bits >= 5; bits -= 5 {
			dst = append(dst, crockford[acc>>(bits-5)&31])
		}
	}
	if bits > 0 {
		dst = append(dst, crockford[acc<<(5-bits)&31])
	}
	return dst
}

// readBase32 is the reverse; ok is false for what appendBase32 never writes.
func readBase32(text string) (raw []byte, ok bool) {
	raw = make([]byte, 0, len(text)*5/8)
	var acc, bits uint
	for i := range len(text) {
		v := crockfordValue[text[i]]
		if v == 0 {
			return nil, false
		}
		acc, bits = acc<<5|uint(v-1), bits+5
		if bits >= 8 {
			bits -= 8
			raw = append(raw, byte(acc>>bits))
		}
	}
	return raw, bits < 5 && acc&(1<<bits-1) == 0
}
