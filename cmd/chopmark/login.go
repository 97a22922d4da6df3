package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/chopmark/chopmark/internal/platform/fault"
)

// profile is a server that a person has signed in to. Its file is for its owner alone.
type profile struct {
	Server string    `json:"server"`
	Login  string    `json:"login"`
	Token  string    `json:"token"`
	EndsAt time.Time `json:"ends_at"`
}

const usualProfile = "default"

// profilePath is where a profile is kept: under CHOPMARK_PROFILES, or the user's configuration.
func profilePath(name string) (string, error) {
	if name == "" || name != filepath.Base(name) || strings.HasPrefix(name, ".") {
		return "", fault.Field("usage", "profile", "must be a plain name")
	}
	dir := os.Getenv("CHOPMARK_PROFILES")
	if dir == "" {
		base, err := os.UserConfigDir()
		if err != nil {
			return "", err
		}
		dir = filepath.Join(base, "chopmark")
	}
	return filepath.Join(dir, name+".json"), nil
}

func loadProfile(name string) (p profile, _ error) {
	path, err := profilePath(name)
	if err != nil {
		return p, err
	}
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return p, fault.New(fault.NotFound, "profile.unknown", "there is no profile %s; make it with chopmark login --server URL --profile %s", name, name)
	}
	if err != nil {
		return p, err
	}
	if err := json.Unmarshal(raw, &p); err != nil {
		return p, fmt.Errorf("read profile %s: %w", path, err)
	}
	return p, nil
}

func (p *profile) save(name string) (path string, _ error) {
	path, err := profilePath(name)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", err
	}
	raw, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return "", err
	}
	return path, writeWhole(path, func(w io.Writer) error {
		_, err := io.Copy(w, bytes.NewReader(append(raw, '\n')))
		return err
	}, nil)
}

// loginCmd signs in to a server and keeps the session in a profile.
type loginCmd struct {
	Server       string `required:"" placeholder:"URL" help:"The server."`
	Login        string `arg:"" help:"The name to sign in with."`
	Profile      string `default:"default" placeholder:"NAME" help:"Where to keep the session (${default})."`
	PasswordFile string `placeholder:"FILE" help:"Read the password from its first line; else it is asked for."`
	Code         string `placeholder:"CODE" help:"Of the authenticator; asked for when it is needed."`
}

// Run signs in.
func (l *loginCmd) Run(ctx context.Context) error {
	password, err := secretOf("Password: ", l.PasswordFile, "password-file")
	if err != nil {
		return err
	}
	c := &client{http: http.DefaultClient, base: strings.TrimSuffix(l.Server, "/")}
	opened, err := l.open(ctx, c, password)
	var refused *apiError
	if errors.As(err, &refused) && refused.code == "signin.second_factor" && l.Code == "" {
		if l.Code, err = secretOf("Code: ", "", "code"); err == nil {
			opened, err = l.open(ctx, c, password)
		}
	}
	if err != nil {
		return err
	}
	p := &profile{Server: c.base, Login: l.Login, Token: opened.Token, EndsAt: opened.EndsAt}
	path, err := p.save(l.Profile)
	if err != nil {
		return err
	}
	fmt.Printf("signed in to %s as %s until %s at the latest; kept in %s\n", p.Server, l.Login, p.EndsAt.Local().Format(time.DateTime), path)
	return nil
}

type openedSession struct {
	Token  string    `json:"token"`
	EndsAt time.Time `json:"ends_at"`
}

func (l *loginCmd) open(ctx context.Context, c *client, password string) (o openedSession, _ error) {
	host, err := os.Hostname()
	if err != nil {
		host = "a machine"
	}
	err = c.call(ctx, http.MethodPost, "/api/v1/signin", map[string]any{
		"login": l.Login, "password": password, "code": l.Code, "client_type": "api", "device": "chopmark on " + host,
	}, &o)
	return o, err
}

// secretOf reads a secret from a file's first line or the terminal.
func secretOf(prompt, file, flag string) (string, error) {
	if file != "" {
		lines, err := readLines(file)
		if err != nil || len(lines) == 0 {
			return "", errors.Join(err, fault.Field("usage", flag, "holds nothing"))
		}
		return lines[0], nil
	}
	in := int(os.Stdin.Fd())
	if !term.IsTerminal(in) {
		return "", fault.Field("usage", flag, "is needed where there is no terminal to ask at")
	}
	fmt.Fprint(os.Stderr, prompt)
	raw, err := term.ReadPassword(in)
	fmt.Fprintln(os.Stderr)
	return string(raw), err
}

// logoutCmd ends the session of a profile.
type logoutCmd struct {
	Profile string `default:"default" placeholder:"NAME" help:"Which one (${default})."`
}

// Run ends the session and removes the file, also when the session has ended already.
func (l *logoutCmd) Run(ctx context.Context) error {
	p, err := loadProfile(l.Profile)
	if err != nil {
		return err
	}
	c := &client{http: http.DefaultClient, base: p.Server, key: p.Token}
	err = c.call(ctx, http.MethodPost, "/api/v1/signout", map[string]any{}, nil)
	if refused := (*apiError)(nil); errors.As(err, &refused) {
		err = nil // it is over
	}
	path, perr := profilePath(l.Profile)
	if err == nil && perr == nil {
		perr = os.Remove(path)
	}
	return errors.Join(err, perr)
}

// remote is the server of --server or --profile, with the key or the session for it; nil =
// work on --data.
func (p *placeFlags) remote() (*client, error) {
	if p.Profile != "" && p.Server != "" {
		return nil, fault.Field("usage", "profile", "names a server; leave out --server")
	}
	if p.Profile != "" {
		kept, err := loadProfile(p.Profile)
		if err != nil {
			return nil, err
		}
		return &client{http: http.DefaultClient, base: kept.Server, key: kept.Token}, nil
	}
	if p.Server == "" {
		return nil, nil //nolint:nilnil // no server is an answer
	}
	c := &client{http: http.DefaultClient, base: strings.TrimSuffix(p.Server, "/"), key: p.Key}
	if kept, err := loadProfile(usualProfile); c.key == "" && err == nil && kept.Server == c.base {
		c.key = kept.Token
	}
	return c, nil
}
