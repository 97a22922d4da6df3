package identity

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // RFC 6238 as authenticator apps speak it
	"crypto/subtle"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// One-time codes of RFC 6238: SHA-1, six digits, 30 seconds; one step of clock
// difference to either side. A step counts once.
const (
	totpSecretBytes = 20
	totpStep        = 30 * time.Second
	totpSkewSteps   = 1

	recoveryCodes = 10
	recoveryBytes = 10 // 80 bits
)

func newTOTPSecret() []byte {
	secret := make([]byte, totpSecretBytes)
	rand.Read(secret)
	return secret
}

// totpAt is the code of one step.
func totpAt(secret []byte, step int64) string {
	var counter [8]byte
	binary.BigEndian.PutUint64(counter[:], uint64(step))
	h := hmac.New(sha1.New, secret)
	h.Write(counter[:])
	sum := h.Sum(nil)
	at := sum[len(sum)-1] & 0xf
	return fmt.Sprintf("%06d", binary.BigEndian.Uint32(sum[at:at+4])&0x7fffffff%1_000_000)
}

// matchTOTP finds the step of a code around now; all candidates are compared.
func matchTOTP(secret []byte, code string, now time.Time) (step int64, ok bool) {
	present := now.Unix() / int64(totpStep/time.Second)
	for i := present - totpSkewSteps; i <= present+totpSkewSteps; i++ {
		if subtle.ConstantTimeCompare([]byte(totpAt(secret, i)), []byte(code)) == 1 {
			step, ok = i, true
		}
	}
	return step, ok
}

// totpURI is what an authenticator app reads from a QR code.
func totpURI(secret []byte, login string) string {
	q := url.Values{"secret": {base32Text(secret)}, "issuer": {"Chopmark"}, "algorithm": {"SHA1"}, "digits": {"6"}, "period": {"30"}}
	return "otpauth://totp/Chopmark:" + url.PathEscape(login) + "?" + strings.ReplaceAll(q.Encode(), "+", "%20")
}

func base32Text(b []byte) string {
	return base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b)
}

// newRecoveryCodes makes codes that stand for a lost second factor, each once.
func newRecoveryCodes() (shown []string, kept []Hash) {
	for range recoveryCodes {
		b := make([]byte, recoveryBytes)
		rand.Read(b)
		text := strings.ToLower(base32Text(b))
		shown = append(shown, text[:4]+"-"+text[4:8]+"-"+text[8:12]+"-"+text[12:])
		kept = append(kept, hashOf(text))
	}
	return shown, kept
}

// recoveryHash is the hash of a recovery code as people type it.
func recoveryHash(typed string) Hash {
	return hashOf(strings.ToLower(strings.NewReplacer("-", "", " ", "").Replace(typed)))
}
