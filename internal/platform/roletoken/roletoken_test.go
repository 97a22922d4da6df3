package roletoken

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
)

func at(t time.Time) func() time.Time { return func() time.Time { return t } }

var start = time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)

func one(b byte) Keys { return func() [][32]byte { return [][32]byte{{b}} } }

func signer() *Signer {
	return &Signer{Keys: one(1), Now: at(start), Name: "edge-1", Roles: []string{"edge"}, Audience: "issue"}
}

func checker() *Checker {
	return &Checker{Keys: func() [][32]byte { return [][32]byte{{9}, {1}} }, Now: at(start), Audience: "issue", Callers: []string{"edge", "all"}}
}

func made(t *testing.T, s *Signer, b Behalf) string {
	t.Helper()
	token, err := s.Sign(b)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestCheck(t *testing.T) {
	t.Parallel()
	b := Behalf{User: "4503599627370495", Brand: 1001, RequestID: "req_1"}
	c, err := checker().Check(made(t, signer(), b), "edge-1")
	if err != nil || c.Behalf() != b || c.Issuer != "edge-1" || len(c.Roles) != 1 {
		t.Errorf("%+v, %v", c, err)
	}
	if Of(On(t.Context(), b)) != b || Of(t.Context()) != (Behalf{}) {
		t.Error("a context does not keep on whose behalf it is")
	}
}

// TestRefusals: forged, expired, of the future, for another role, of a role that may not call,
// shown by another process, with another algorithm or too long a life.
func TestRefusals(t *testing.T) {
	t.Parallel()
	good := made(t, signer(), Behalf{Brand: 1001})
	for i := range good {
		for _, with := range []byte("AQ.") {
			if good[i] == with {
				continue
			}
			if _, err := checker().Check(good[:i]+string(with)+good[i+1:], "edge-1"); err == nil && !lastBits(good, i) {
				t.Fatalf("changed at %d to %c it is taken", i, with)
			}
		}
	}
	with := func(change func(s *Signer)) string {
		s := signer()
		change(s)
		return made(t, s, Behalf{})
	}
	body := strings.Split(good, ".")
	none := encode([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + body[1] + "."
	long, err := json.Marshal(Claims{Issuer: "edge-1", Audience: "issue", Roles: []string{"edge"}, Issued: start.Unix(), Expires: start.Add(time.Hour).Unix()})
	if err != nil {
		t.Fatal(err)
	}
	lives := encode([]byte(header)) + "." + encode(long)
	other := encode([]byte(`{"typ":"JWT","alg":"HS256"}`)) + "." + body[1]
	for what, token := range map[string]string{
		"nothing": "", "junk": "a.b.c", "two parts": "a.b", "no algorithm": none, "a key of nobody": with(func(s *Signer) { s.Keys = one(2) }),
		"expired":       with(func(s *Signer) { s.Now = at(start.Add(-life - skew)) }),
		"of the future": with(func(s *Signer) { s.Now = at(start.Add(skew + time.Second)) }),
		"another role":  with(func(s *Signer) { s.Audience = "edge" }),
		"may not call":  with(func(s *Signer) { s.Roles = []string{"worker"} }),
		"no role":       with(func(s *Signer) { s.Roles = nil }),
		"nameless":      with(func(s *Signer) { s.Name = "" }),
		"another name":  with(func(s *Signer) { s.Name = "edge-2" }),
		"lives long":    lives + "." + encode(sign([32]byte{1}, lives)),
		"other header":  other + "." + encode(sign([32]byte{1}, other)),
		"too long":      good + strings.Repeat("A", tokenMax),
	} {
		if c, err := checker().Check(token, "edge-1"); !errors.Is(err, ErrRefused) || c.Issuer != "" {
			t.Errorf("%s: %+v, %v", what, c, err)
		}
	}
}

// lastBits: the last letter of a part has bits that mean nothing.
func lastBits(token string, i int) bool { return i == len(token)-1 }
