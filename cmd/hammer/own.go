package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/chopmark/chopmark/test/harness"
)

// ownServer is for commands that run a server of their own.
type ownServer struct {
	Server string `placeholder:"PATH" help:"The chopmark binary; by default it is built inside the module, else found beside hammer or in PATH."`
	Data   string `placeholder:"DIR" help:"Its data directory, empty or not there yet; by default a temporary one that is removed when all went well."`
}

// place finds the binary and a data directory. leave says where the data is when the
// run has failed, and else removes what place has made.
func (o *ownServer) place(ctx context.Context, out io.Writer) (server, data string, leave func(failed error) error, err error) {
	if err := o.check(); err != nil {
		return "", "", nil, usageError{err}
	}
	scratch, err := os.MkdirTemp("", "hammer-")
	if err != nil {
		return "", "", nil, err
	}
	server, data = o.Server, o.Data
	if server == "" {
		if server, err = harness.Locate(ctx, scratch); err != nil {
			return "", "", nil, errors.Join(err, os.RemoveAll(scratch))
		}
	}
	if data == "" {
		data = filepath.Join(scratch, "data")
	}
	return server, data, func(failed error) error {
		if failed == nil {
			return os.RemoveAll(scratch)
		}
		_, err := fmt.Fprintf(out, "the data directory is kept: %s\n", data)
		if o.Data != "" {
			return errors.Join(err, os.RemoveAll(scratch))
		}
		if o.Server == "" && filepath.Dir(server) == scratch {
			err = errors.Join(err, os.Remove(server))
		}
		return err
	}, nil
}

// check says what is wrong with the flags: a run over the data of another would judge
// facts that are not its own, and its keys would be answered from the other's effects.
func (o *ownServer) check() error {
	if o.Server != "" {
		if st, err := os.Stat(o.Server); err != nil {
			return fmt.Errorf("--server: %w", err)
		} else if !st.Mode().IsRegular() {
			return fmt.Errorf("--server: %s is no file", o.Server)
		}
	}
	entries, err := os.ReadDir(o.Data)
	switch {
	case o.Data == "" || errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("--data: %w", err)
	case len(entries) > 0:
		return fmt.Errorf("--data: %s is not empty", o.Data)
	}
	return nil
}
