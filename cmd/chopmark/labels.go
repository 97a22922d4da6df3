package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/chopmark/chopmark/internal/app"
	"github.com/chopmark/chopmark/internal/codebook"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

// offlineVerdict is what a signature proves: issued, not: not copied.
type offlineVerdict struct {
	Verdict   codebook.Judgement `json:"verdict"`
	Code      string             `json:"code"`
	GTIN      string             `json:"gtin,omitempty"`
	Lot       string             `json:"lot,omitempty"`
	IssuedAt  time.Time          `json:"issued_at,omitzero"`
	ExpiresAt time.Time          `json:"expires_at,omitzero"`
	Key       string             `json:"key"`
	Offline   bool               `json:"offline"`
}

// verifyOffline judges the signed label of a link by a document of keys. It fails for
// everything but an issued label.
func verifyOffline(w io.Writer, link, keysFile string, c clock.Clock) error {
	if keysFile == "" {
		return fault.Field("usage", "keys", "is needed with --offline: keep the server's /.well-known/chopmark-keys.json")
	}
	raw, err := os.ReadFile(keysFile)
	if err != nil {
		return err
	}
	keys, err := codebook.DecodeKeys(raw)
	if err != nil {
		return err
	}
	label, err := labelOf(link)
	if err != nil {
		return err
	}
	out := offlineVerdict{
		Verdict: codebook.Judge(keys, label, c.Now()), Code: label.Code.String(), GTIN: label.GTIN, Lot: label.Lot,
		IssuedAt: label.IssuedAt, ExpiresAt: label.Expires, Key: label.KeyID.String(), Offline: true,
	}
	if out.Verdict == codebook.Forged || out.Verdict == codebook.KeyUnknown { // then nothing in it is known to be true
		out = offlineVerdict{Verdict: out.Verdict, Code: out.Code, Key: out.Key, Offline: true}
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	if err := enc.Encode(out); err != nil || out.Verdict == codebook.Issued {
		return err
	}
	return fmt.Errorf("not valid: %s", out.Verdict)
}

// labelOf takes the code and its signature out of a label's link.
func labelOf(link string) (*codebook.Label, error) {
	text, _ := splitLink(link)
	text, _, _ = strings.Cut(text, "?")
	code, err := codebook.ParseCode(text)
	if err != nil {
		return nil, err
	}
	_, query, _ := strings.Cut(link, "?")
	values, err := url.ParseQuery(query)
	if err != nil || values.Get(codebook.LabelParam) == "" {
		return nil, fault.Field("label.unsigned", "code", "carries no signature: this label can only be checked at its server")
	}
	return codebook.ParseLabel(code, values.Get(codebook.LabelParam))
}

type keysRevokeCmd struct {
	dataFlags
	ID string `arg:"" help:"The key's id, or the eight hex digits that labels carry."`
}

// Run revokes one signature key.
func (k *keysRevokeCmd) Run(ctx context.Context) error {
	return app.WithKeys(ctx, k.config(), k.logger(), func(keys *app.Keys) error {
		current, err := keys.Revoke(ctx, k.ID)
		if err != nil {
			return err
		}
		fmt.Printf("%s is revoked; new labels are signed by %s. Who verifies offline learns of it with the next copy of the keys\n", k.ID, current)
		return nil
	})
}

type keysPublicCmd struct{ dataFlags }

// Run prints the document of label keys.
func (k *keysPublicCmd) Run(ctx context.Context) error {
	return app.WithKeys(ctx, k.config(), k.logger(), func(keys *app.Keys) error {
		raw, err := keys.Public()
		if err == nil {
			_, err = fmt.Println(string(raw))
		}
		return err
	})
}
