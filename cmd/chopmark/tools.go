package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/term"

	"github.com/chopmark/chopmark/internal/app"
	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/keyset"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

// verifyCmd looks at a code without counting a scan.
type verifyCmd struct {
	placeFlags
	Code    string `arg:"" help:"18 digits, or a link that carries them."`
	Token   string `placeholder:"TOKEN" help:"The link token."`
	Offline bool   `help:"Check the signature in the link of a signed label, without any server. Needs --keys."`
	Keys    string `type:"existingfile" placeholder:"FILE" help:"With --offline: the server's /.well-known/chopmark-keys.json, kept before."`
}

// Run prints the verdict as JSON. It fails for a code that is not valid.
func (v *verifyCmd) Run(ctx context.Context) error {
	if v.Offline {
		return verifyOffline(os.Stdout, v.Code, v.Keys, clock.System{})
	}
	return v.with(ctx, func(c *client) error {
		code, token := splitLink(v.Code)
		if v.Token != "" {
			token = v.Token
		}
		path := "/api/v1/codes/" + url.PathEscape(code) + "/verify"
		if token != "" {
			path += "?token=" + url.QueryEscape(token)
		}
		r, err := c.request(ctx, http.MethodGet, c.base+path, http.NoBody)
		if err != nil {
			return err
		}
		r.Header.Set("Sec-Purpose", "prefetch") // a look, not a scan
		resp, err := c.http.Do(r)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		var envelope struct {
			Message string          `json:"message"`
			Data    json.RawMessage `json:"data"`
		}
		if err := json.NewDecoder(resp.Body).Decode(&envelope); err != nil {
			return err
		}
		var verdict struct {
			Valid   bool   `json:"valid"`
			Verdict string `json:"verdict"`
		}
		if json.Unmarshal(envelope.Data, &verdict) != nil || verdict.Verdict == "" {
			return errors.New(envelope.Message)
		}
		if err := printJSON(envelope.Data); err != nil || verdict.Valid {
			return err
		}
		return fmt.Errorf("not valid: %s", verdict.Verdict)
	})
}

// splitLink takes code and token out of a short link or a GS1 Digital Link.
func splitLink(s string) (code, token string) {
	if u, err := url.Parse(s); err == nil && u.Host != "" {
		if id, err := gs1.ParsePath(u.EscapedPath()); err == nil {
			return id.Value("21"), ""
		}
		s = strings.Trim(u.Path, "/")
	}
	code, token, _ = strings.Cut(s, "/")
	return code, token
}

func printJSON(v any) error {
	enc := json.NewEncoder(os.Stdout)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// stateCmd moves items to a state.
type stateCmd struct {
	placeFlags
	To      string   `required:"" help:"The state: active, recalled, void, …"`
	Reason  string   `required:"" help:"Why."`
	Batch   string   `placeholder:"ID" help:"Items of a batch…"`
	From    int64    `placeholder:"NO" help:"…from this number…"`
	Last    int64    `placeholder:"NO" help:"…to this one; else all."`
	Codes   []string `placeholder:"CODE" help:"Or these codes."`
	File    string   `type:"existingfile" help:"Or the codes of a file, one a line."`
	Strict  bool     `help:"All or none."`
	Reverts string   `placeholder:"ID" help:"Undo this change for them."`
}

// Run changes the state and prints what came of it.
func (s *stateCmd) Run(ctx context.Context) error {
	sel := map[string]any{}
	if s.Batch != "" {
		sel["batch_id"] = s.Batch
		if s.From != 0 {
			sel["from_no"] = s.From
		}
		if s.Last != 0 {
			sel["to_no"] = s.Last
		}
	}
	if s.File != "" {
		lines, err := readLines(s.File)
		if err != nil {
			return err
		}
		s.Codes = append(s.Codes, lines...)
	}
	if len(s.Codes) > 0 {
		sel["codes"] = s.Codes
	}
	body := map[string]any{"select": sel, "to": s.To, "reason": s.Reason, "strict": s.Strict}
	if s.Reverts != "" {
		body["reverts"] = s.Reverts
	}
	return s.with(ctx, func(c *client) error {
		var answer json.RawMessage
		if err := c.call(ctx, http.MethodPost, "/api/v1/codes/state", body, &answer); err != nil {
			return err
		}
		return printJSON(answer)
	})
}

func readLines(file string) ([]string, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	var lines []string
	in := bufio.NewScanner(f)
	for in.Scan() {
		if line := strings.TrimSpace(in.Text()); line != "" {
			lines = append(lines, line)
		}
	}
	return lines, errors.Join(in.Err(), f.Close())
}

// keysCmd keeps the keys.
type keysCmd struct {
	List   keysListCmd   `cmd:"" help:"List keys: no secret is shown."`
	Rotate keysRotateCmd `cmd:"" help:"Make a new key of a purpose; the old one goes on verifying for its time."`
	Export keysExportCmd `cmd:"" help:"Write all keys to a file, under a passphrase."`
	Import keysImportCmd `cmd:"" help:"Bring the keys of an export into a data directory."`

	Revoke keysRevokeCmd `cmd:"" help:"End a signature key: labels that it signed no longer verify offline."`
	Public keysPublicCmd `cmd:"" help:"Print the public keys of label signatures, as /.well-known/chopmark-keys.json has them."`

	CA       keysCACmd       `cmd:"" name:"ca" help:"Make the authority that certificates between roles come from."`
	RoleCert keysRoleCertCmd `cmd:"" help:"Make a process's certificate between roles."`
}

type keysListCmd struct{ dataFlags }

// Run lists the keys.
func (k *keysListCmd) Run(ctx context.Context) error {
	return app.WithKeys(ctx, k.config(), k.logger(), func(keys *app.Keys) error {
		w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
		_, _ = fmt.Fprintln(w, "ID\tPURPOSE\tCHECK\tCREATED\tVERIFIES UNTIL")
		for _, key := range keys.List() {
			until := "for ever"
			if !key.VerifyUntil.IsZero() {
				until = key.VerifyUntil.Format(time.RFC3339)
			}
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", key.ID, key.Purpose, key.Check, key.CreatedAt.Format(time.RFC3339), until)
		}
		return w.Flush()
	})
}

type keysRotateCmd struct {
	dataFlags
	Purpose string        `arg:"" enum:"link,inner,signature,session,codebook" help:"link, inner, signature or session (the codebook key is for life)."`
	Keep    time.Duration `help:"How long the old key goes on verifying; else what its purpose needs."`
}

// Run rotates one key.
func (k *keysRotateCmd) Run(ctx context.Context) error {
	return app.WithKeys(ctx, k.config(), k.logger(), func(keys *app.Keys) error {
		id, err := keys.Rotate(ctx, keyset.Purpose(k.Purpose), k.Keep)
		if err != nil {
			return err
		}
		fmt.Printf("the %s key is now %s; export the keys again: an older export lacks it\n", k.Purpose, id)
		return nil
	})
}

type keysExportCmd struct {
	dataFlags
	Out            string `required:"" placeholder:"FILE" help:"Where to write."`
	PassphraseFile string `placeholder:"FILE" help:"Read the passphrase from its first line; else it is asked for."`
}

// Run exports all keys.
func (k *keysExportCmd) Run(ctx context.Context) error {
	pass, err := passphrase(k.PassphraseFile, true)
	if err != nil {
		return err
	}
	return app.WithKeys(ctx, k.config(), k.logger(), func(keys *app.Keys) error {
		data, err := keys.Export(pass)
		if err != nil {
			return err
		}
		f, err := os.OpenFile(k.Out, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		_, err = f.Write(data)
		return errors.Join(err, f.Sync(), f.Close())
	})
}

type keysImportCmd struct {
	dataFlags
	File           string `arg:"" type:"existingfile" help:"What export wrote."`
	PassphraseFile string `placeholder:"FILE" help:"Read the passphrase from its first line; else it is asked for."`
}

// Run imports keys, if they are the ones that the data directory knows.
func (k *keysImportCmd) Run(ctx context.Context) error {
	pass, err := passphrase(k.PassphraseFile, false)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(k.File)
	if err != nil {
		return err
	}
	return app.ImportKeys(ctx, k.config(), k.logger(), data, pass)
}

// passphrase reads it from a file or a terminal.
func passphrase(file string, twice bool) (string, error) {
	if file != "" {
		lines, err := readLines(file)
		if err != nil || len(lines) == 0 {
			return "", errors.Join(err, fault.Field("usage", "passphrase-file", "holds no passphrase"))
		}
		return lines[0], nil
	}
	in := int(os.Stdin.Fd())
	if !term.IsTerminal(in) {
		return "", fault.Field("usage", "passphrase-file", "is needed where there is no terminal to ask at")
	}
	ask := func(prompt string) (string, error) {
		fmt.Fprint(os.Stderr, prompt)
		raw, err := term.ReadPassword(in)
		fmt.Fprintln(os.Stderr)
		return string(raw), err
	}
	first, err := ask("Passphrase: ")
	if err != nil || !twice {
		return first, err
	}
	again, err := ask("Again: ")
	if err == nil && again != first {
		err = errors.New("the passphrases differ")
	}
	return first, err
}

// migrateCmd migrates without serving.
type migrateCmd struct{ dataFlags }

// Run migrates; opening does it.
func (m *migrateCmd) Run(ctx context.Context) error {
	a, err := app.Open(ctx, m.migrateConfig(), m.logger())
	if err != nil {
		return err
	}
	fmt.Println("the tables are in this version's form")
	return a.Close()
}

func (m *migrateCmd) migrateConfig() app.Config {
	c := m.config()
	c.Listen = "127.0.0.1:8080"
	return c
}

// signInCmd is the way back in for who lost the admin key.
type signInCmd struct {
	dataFlags
	Listen string `default:"127.0.0.1:8080" placeholder:"ADDR" help:"Where the server will listen (${default})."`
}

// Run prints the link; it works once the server runs on the directory again.
func (s *signInCmd) Run(ctx context.Context) error {
	c := s.config()
	c.Listen = s.Listen
	a, err := app.Open(ctx, c, s.logger())
	if err != nil {
		return err
	}
	link, err := a.NewSignIn(ctx)
	if err == nil {
		fmt.Printf("%s\none use, 24 h; start the server to open it\n", link)
	}
	return errors.Join(err, a.Close())
}

// doctorCmd looks for trouble.
type doctorCmd struct {
	dataFlags
	Log bool `help:"Compute the transparency log anew, and hold every signed head and every batch to it."`
}

// Run prints one line for each check, and fails when one does.
func (d *doctorCmd) Run(ctx context.Context) error {
	c := d.config()
	c.Listen = "127.0.0.1:8080"
	return app.Doctor(ctx, c, d.logger(), os.Stdout, d.Log)
}
