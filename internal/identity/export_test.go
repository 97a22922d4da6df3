package identity

import "time"

// CodeAt is what an authenticator app shows at a time.
func CodeAt(secret []byte, at time.Time) string {
	return totpAt(secret, at.Unix()/int64(totpStep/time.Second))
}
