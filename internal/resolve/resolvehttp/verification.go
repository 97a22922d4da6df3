package resolvehttp

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/chopmark/chopmark/internal/codebook"
	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/internal/resolve"
)

// Verification is what is known of an item for a verification message.
type Verification struct {
	Known     bool // GTIN and serial number are an item's
	Item      resolve.Item
	Lot       string
	ExpiresAt time.Time // zero = never
	Recalled  bool
	Valid     bool // it may be sold or is sold; a recalled one is told apart
}

// Verifier looks an item up without counting a scan.
type Verifier interface {
	Verification(ctx context.Context, code codebook.Code, gtin gs1.GTIN, from netip.Addr) (Verification, error)
}

const (
	verifyPrefix = "/gs1/verify/"
	verifyRoute  = "/gs1/verify/{path}"
	corrMax      = 64
)

// message is the answer of GS1 Lightweight Verification Messaging 1.1.
type message struct {
	Responder string      `json:"responderGLN"`
	Data      messageData `json:"data"`
	Corr      string      `json:"corrUUID"`
	At        string      `json:"verificationTimestamp"`
}

type messageData struct {
	Verified bool   `json:"verified"`
	Failure  string `json:"verificationFailureReason,omitempty"`
	Info     string `json:"additionalInfo,omitempty"`
}

// The reasons that the standard names.
const (
	noMatch          = "No_match_GTIN_Serial"
	noMatchLot       = "No_match_GTIN_Serial_Lot"
	noMatchExpiry    = "No_match_GTIN_Serial_Expiry"
	noMatchLotExpiry = "No_match_GTIN_Serial_Lot_Expiry"
	noReason         = "No_reason_provided"
)

// getVerification answers GET /gs1/verify/01/{gtin}[/10/{lot}]/21/{serial}?17=&reqGLN=&corrUUID=.
func (h *Handler) getVerification(w http.ResponseWriter, r *http.Request) int {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodOptions:
		return options(w)
	default:
		w.Header().Set("Allow", allowed)
		return h.fail(w, r, httpx.ErrMethod)
	}
	ask, err := readVerification(r)
	if err != nil {
		return h.fail(w, r, err)
	}
	from := h.Proxies.Client(r)
	if err := h.Limits.Admit(r, from); err != nil {
		return h.fail(w, r, err)
	}
	m, err := h.verification(r.Context(), ask, from)
	if err != nil {
		return h.fail(w, r, err)
	}
	if m.Data.Failure == noMatch {
		h.miss(r, from, &ask.id)
	}
	body, err := json.Marshal(m)
	if err != nil {
		return h.fail(w, r, err)
	}
	prepare(w).Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(body) // the client may be gone
	return http.StatusOK
}

// verificationAsk is a verification message's question.
type verificationAsk struct {
	id     gs1.ID
	expiry string // YYMMDD; "" = not said
	corr   string
}

func readVerification(r *http.Request) (ask verificationAsk, err error) {
	path := "/" + strings.TrimPrefix(strings.TrimSuffix(r.URL.EscapedPath(), "/"), verifyPrefix)
	if ask.id, err = gs1.ParsePath(path); err != nil {
		return ask, err
	}
	if ask.id.Key.AI != "01" || ask.id.Value("21") == "" {
		return ask, fault.Field("resolve.bad_verification", "path", "must have a GTIN (01) and a serial number (21)")
	}
	attributes, rest, err := gs1.ParseQuery(&ask.id, r.URL.RawQuery)
	if err != nil {
		return ask, err
	}
	for _, a := range attributes {
		if a.AI == "17" {
			ask.expiry = a.Value
		}
	}
	q, err := url.ParseQuery(rest)
	if err != nil {
		return ask, fault.Field("resolve.bad_query", "query", "has a broken percent-escape")
	}
	if gln := q.Get("reqGLN"); gln != "" {
		if _, err := gs1.ParsePath("/417/" + url.PathEscape(gln)); err != nil {
			return ask, fault.Field("resolve.bad_verification", "reqGLN", "must be a GLN of 13 digits with a true check digit")
		}
	}
	ask.corr = q.Get("corrUUID")
	if len(ask.corr) > corrMax {
		return ask, fault.Field("resolve.bad_verification", "corrUUID", "has more than %d characters", corrMax)
	}
	return ask, nil
}

func (h *Handler) verification(ctx context.Context, ask verificationAsk, from netip.Addr) (message, error) {
	m := message{Corr: ask.corr, At: h.Clock.Now().UTC().Format(time.RFC3339)}
	if m.Corr == "" {
		m.Corr = newUUID()
	}
	var v Verification
	if code, err := codebook.ParseCode(ask.id.Value("21")); err == nil {
		if v, err = h.Verifier.Verification(ctx, code, gs1.GTIN(ask.id.Key.Value), from); err != nil {
			return message{}, err
		}
	}
	if !v.Known {
		m.Data.Failure = noMatch
		return m, nil
	}
	m.Responder = h.Resolver.Responder(v.Item.Brand)
	lot := ask.id.Value("10") == "" || ask.id.Value("10") == v.Lot
	expiry := ask.expiry == "" || v.ExpiresAt.IsZero() || sameDay(ask.expiry, v.ExpiresAt)
	switch {
	case !lot && !expiry:
		m.Data.Failure = noMatchLotExpiry
	case !lot:
		m.Data.Failure = noMatchLot
	case !expiry:
		m.Data.Failure = noMatchExpiry
	case v.Recalled:
		m.Data.Verified, m.Data.Info = true, "recalled"
	case !v.Valid:
		m.Data.Failure = noReason
	default:
		m.Data.Verified = true
	}
	return m, nil
}

// sameDay compares YYMMDD, whose day may be 00 for the month's last, with a moment.
func sameDay(text string, at time.Time) bool {
	at = at.UTC()
	if strings.HasSuffix(text, "00") {
		return at.AddDate(0, 0, 1).Day() == 1 && at.Format("0601") == text[:4]
	}
	return at.Format("060102") == text
}

// newUUID makes a random UUID (RFC 9562, version 4).
func newUUID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the process first
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	s := hex.EncodeToString(b[:])
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}
