package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/chopmark/chopmark/internal/app"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

// backupCmd makes a backup, or checks one.
type backupCmd struct {
	placeFlags
	Out            string `placeholder:"FILE" help:"Where to write the backup."`
	Files          bool   `help:"With the files of codes that were made; they can be made again."`
	Verify         string `placeholder:"FILE" type:"existingfile" help:"Read a backup through and check it instead; with --passphrase-file its keys too."`
	PassphraseFile string `placeholder:"FILE" help:"Read the passphrase of the keys from its first line; else it is asked for."`
}

// Run makes the backup and reads it through before it gets its name.
func (b *backupCmd) Run(ctx context.Context) error {
	if (b.Out == "") == (b.Verify == "") {
		return fault.Field("usage", "out", "name a file with --out, or one to check with --verify")
	}
	if b.Verify != "" {
		return b.verify(ctx)
	}
	if err := absent(b.Out); err != nil {
		return err
	}
	pass, err := passphrase(b.PassphraseFile, true)
	if err != nil {
		return err
	}
	begun := time.Now()
	err = b.with(ctx, func(c *client) error {
		return writeWhole(b.Out, func(w io.Writer) error { return c.backup(ctx, w, pass, b.Files) }, func(part string) error {
			if err := app.VerifyBackup(ctx, part, pass, os.Stdout); err != nil {
				return err
			}
			return absent(b.Out)
		})
	})
	if err != nil {
		return err
	}
	st, err := os.Stat(b.Out)
	if err != nil {
		return err
	}
	fmt.Printf("ok    %s has %d bytes, written and read again in %.1f s\n", b.Out, st.Size(), time.Since(begun).Seconds())
	return nil
}

func (b *backupCmd) verify(ctx context.Context) error {
	pass := ""
	if b.PassphraseFile != "" {
		var err error
		if pass, err = passphrase(b.PassphraseFile, false); err != nil {
			return err
		}
	}
	return app.VerifyBackup(ctx, b.Verify, pass, os.Stdout)
}

// absent refuses a name that is taken: a backup never takes the place of a file.
func absent(file string) error {
	if _, err := os.Lstat(file); !errors.Is(err, os.ErrNotExist) {
		return errors.Join(fmt.Errorf("%s exists; name another file", file), err)
	}
	return nil
}

// backup writes a backup of the place to w.
func (c *client) backup(ctx context.Context, w io.Writer, pass string, files bool) error {
	if c.app != nil {
		b, err := c.app.BeginBackup(pass, files)
		if err != nil {
			return err
		}
		defer b.End()
		return b.Write(ctx, w)
	}
	raw, err := json.Marshal(map[string]any{"passphrase": pass, "files": files})
	if err != nil {
		return err
	}
	r, err := c.request(ctx, http.MethodPost, c.base+"/api/v1/backup", strings.NewReader(string(raw)))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	resp, err := c.http.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		var envelope struct {
			Message string `json:"message"`
			Error   string `json:"error"`
		}
		if err := json.NewDecoder(resp.Body).Decode(&envelope); err != nil {
			return fmt.Errorf("the server answered %d and no JSON: %w", resp.StatusCode, err)
		}
		return &apiError{envelope.Error, envelope.Message}
	}
	_, err = io.Copy(w, resp.Body)
	return err
}

// restoreCmd makes a data directory of a backup.
type restoreCmd struct {
	File           string          `arg:"" type:"existingfile" help:"What backup wrote."`
	Data           string          `required:"" placeholder:"DIR" help:"The directory to make; absent or empty."`
	Skip           *int64          `placeholder:"N" help:"How many serials each shard leaves out, so that none is issued twice: else 1 % of what it may issue, 10^10 in region 0. 0 = nothing was issued or claimed after the backup."`
	PassphraseFile string          `placeholder:"FILE" help:"Read the passphrase of the keys from its first line; else it is asked for."`
	LogLevel       string          `default:"warn" enum:"debug,info,warn,error" help:"debug, info, warn or error."`
	Config         kong.ConfigFlag `placeholder:"FILE" help:"YAML with these flags; unknown keys are refused."`
}

// Run restores and prints what it did.
func (r *restoreCmd) Run(ctx context.Context) error {
	skip := int64(app.SkipUsual)
	if r.Skip != nil {
		if skip = *r.Skip; skip < 0 {
			return fault.Field("usage", "skip", "must not be negative")
		}
	}
	pass, err := passphrase(r.PassphraseFile, false)
	if err != nil {
		return err
	}
	log := dataFlags{LogLevel: r.LogLevel}
	return app.Restore(ctx, app.Config{Data: r.Data, Version: version}, log.logger(), app.Restoration{File: r.File, Passphrase: pass, Skip: skip}, os.Stdout)
}
