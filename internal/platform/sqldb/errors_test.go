package sqldb

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"syscall"
	"testing"

	"github.com/go-sql-driver/mysql"
)

func TestIsAway(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err  error
		away bool
	}{
		{nil, false},
		{errors.New("anything"), false},
		{io.ErrUnexpectedEOF, false}, // a file's
		{&fs.PathError{Op: "write", Path: "f", Err: syscall.ENOSPC}, false},
		{&mysql.MySQLError{Number: myDuplicate}, false},
		{ErrUnknownOutcome, false}, // it may have taken effect
		{ErrUnavailable.Because(io.EOF), true},
		{driver.ErrBadConn, true},
		{mysql.ErrInvalidConn, true},
		{&mysql.MySQLError{Number: myShutdown}, true},
		{&net.OpError{Op: "dial", Err: errors.New("connection refused")}, true},
	} {
		if got := IsAway(fmt.Errorf("read: %w", tt.err)); got != tt.away {
			t.Errorf("%v: %v", tt.err, got)
		}
	}
}
