package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/chopmark/chopmark/test/harness"
)

const backupItems = 1_000_000

// benchBackup backs up a running server that knows a million scanned codes, and
// restores it. The counts are written directly, so that it is without their records.
func benchBackup(ctx context.Context, b *bench) error {
	data := b.data("backup")
	server, err := harness.Start(ctx, b.bin, data)
	if err != nil {
		return err
	}
	defer func() { server.Kill() }()
	s, err := openShop(ctx, server)
	if err == nil {
		_, err = s.batch(ctx, "B", backupItems, "off")
	}
	if err != nil {
		return err
	}
	if err := server.Stop(); err != nil {
		return err
	}
	if err := b.fillCounts(ctx, filepath.Join(data, "sightings"), backupItems); err != nil {
		return err
	}
	if server, err = harness.Start(ctx, b.bin, data); err != nil {
		return err
	}
	pass, file := b.data("pass"), b.data("a.backup")
	if err := os.WriteFile(pass, []byte("correct horse battery\n"), 0o600); err != nil {
		return err
	}
	made, err := b.timed(ctx, "backup", "--server", server.URL, "--key", harness.AdminKey, "--passphrase-file", pass, "--out", file)
	if err != nil {
		return err
	}
	st, err := os.Stat(file)
	if err != nil {
		return err
	}
	restored, err := b.timed(ctx, "restore", file, "--data", b.data("restored"), "--passphrase-file", pass)
	if err != nil {
		return err
	}
	b.rowf(fmt.Sprintf("backup of %d scanned codes from a running server, read through", backupItems), "", "%.1f s, %.1f MB of %.1f MB",
		made.Seconds(), float64(st.Size())/1e6, dirMB(data))
	b.rowf("  restore of it, opened as a start would", "", "%.1f s", restored.Seconds())
	return nil
}

// timed runs a command of chopmark.
func (b *bench) timed(ctx context.Context, args ...string) (time.Duration, error) {
	begun := time.Now()
	if out, err := exec.CommandContext(ctx, b.bin, args...).CombinedOutput(); err != nil {
		return 0, fmt.Errorf("chopmark %s: %w\n%s", args[0], err, out)
	}
	return time.Since(begun), nil
}
