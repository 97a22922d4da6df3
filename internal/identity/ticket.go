package identity

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/chopmark/chopmark/internal/platform/fault"
)

// ErrBadTicket answers what was not given out here, is too old, or was used.
var ErrBadTicket = fault.New(fault.Unauthenticated, "signin.expired_step", "this step of the sign-in has expired or was taken before; begin again")

// Tickets carry what a ceremony of several requests has to remember, sealed, by way of the
// browser: any process can go on with it. One process takes a ticket once.
type Tickets struct {
	secrets *Secrets
	now     func() time.Time

	mu   sync.Mutex
	used map[Hash]time.Time // until when; guarded by mu
}

// ticketLife is how long a person may take for a step.
const ticketLife = 5 * time.Minute

// Tickets gives the ones of this service.
func (s *Service) Tickets() *Tickets {
	return &Tickets{secrets: s.secrets, now: s.clock.Now, used: map[Hash]time.Time{}}
}

type sealedTicket struct {
	Until time.Time       `json:"u"`
	Body  json.RawMessage `json:"b"`
}

// Give seals a body for a purpose.
func (t *Tickets) Give(purpose string, body any) (string, error) {
	raw, err := json.Marshal(body)
	if err == nil {
		raw, err = json.Marshal(sealedTicket{t.now().Add(ticketLife), raw})
	}
	if err != nil {
		return "", fmt.Errorf("encode a ticket: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(encrypt(t.secrets.Tokens, raw, "ticket "+purpose)), nil
}

// Take opens a ticket, once.
func (t *Tickets) Take(purpose, ticket string, into any) error {
	sealed, err := base64.RawURLEncoding.DecodeString(ticket)
	if err != nil || len(sealed) > 1<<14 {
		return ErrBadTicket
	}
	raw, err := decrypt(t.secrets.Tokens, sealed, "ticket "+purpose)
	if err != nil {
		return ErrBadTicket
	}
	var open sealedTicket
	if json.Unmarshal(raw, &open) != nil || !t.now().Before(open.Until) {
		return ErrBadTicket
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for h, until := range t.used {
		if !t.now().Before(until) {
			delete(t.used, h)
		}
	}
	h := hashOf(ticket)
	if _, taken := t.used[h]; taken {
		return ErrBadTicket
	}
	t.used[h] = open.Until
	return json.Unmarshal(open.Body, into)
}
