package limit

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"math/bits"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// A challenge is "1.BITS.EXPIRY.MAC", a proof is "CHALLENGE.NONCE": the SHA-256 of the
// whole proof begins with BITS zero bits. Nothing is stored. A proof is good for the
// network that it was made for and until it expires, however often it is shown: misses
// and requests count all the same.
const (
	proofVersion = "1"
	proofLife    = 10 * time.Minute
	proofBits    = 15 // about 30,000 hashes: a second of a phone's browser
	proofBitsMax = 19
	proofMACLen  = 16
	proofMax     = 128 // bytes
)

// prover makes challenges and checks proofs under a key that may change.
type prover struct{ key func() [32]byte }

func (p prover) challenge(a netip.Addr, zeros int, now time.Time) string {
	until := now.Add(proofLife).Unix()
	return proofVersion + "." + strconv.Itoa(zeros) + "." + strconv.FormatInt(until, 36) + "." +
		base64.RawURLEncoding.EncodeToString(p.mac(a, zeros, until))
}

func (p prover) mac(a netip.Addr, zeros int, until int64) []byte {
	key := p.key()
	h := hmac.New(sha256.New, key[:])
	text := append(make([]byte, 0, 64), "chopmark/proof/1"...)
	text = binary.BigEndian.AppendUint64(text, Network(a))
	text = binary.BigEndian.AppendUint64(text, uint64(zeros))
	h.Write(binary.BigEndian.AppendUint64(text, uint64(until)))
	return h.Sum(nil)[:proofMACLen]
}

// check reports whether a proof is good for an address now.
func (p prover) check(a netip.Addr, proof string, now time.Time) bool {
	parts := strings.Split(proof, ".")
	if len(proof) > proofMax || len(parts) != 5 || parts[0] != proofVersion {
		return false
	}
	zeros, err1 := strconv.Atoi(parts[1])
	until, err2 := strconv.ParseInt(parts[2], 36, 64)
	mac, err3 := base64.RawURLEncoding.DecodeString(parts[3])
	if err1 != nil || err2 != nil || err3 != nil {
		return false
	}
	return hmac.Equal(mac, p.mac(a, zeros, until)) && now.Unix() < until && leadingZeros(proof) >= zeros
}

func leadingZeros(proof string) int {
	sum := sha256.Sum256([]byte(proof))
	n := bits.LeadingZeros64(binary.BigEndian.Uint64(sum[:]))
	return n // 64 of 256 bits are more than anybody is asked for
}

// Solve finds the proof of a challenge, as the page's script does.
func Solve(challenge string) string {
	parts := strings.Split(challenge, ".")
	if len(parts) != 4 {
		return ""
	}
	zeros, err := strconv.Atoi(parts[1])
	if err != nil || zeros > proofBitsMax {
		return ""
	}
	for nonce := int64(0); ; nonce++ {
		if proof := challenge + "." + strconv.FormatInt(nonce, 36); leadingZeros(proof) >= zeros {
			return proof
		}
	}
}
