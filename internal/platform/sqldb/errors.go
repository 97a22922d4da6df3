package sqldb

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"slices"
	"strings"

	"github.com/go-sql-driver/mysql"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// Numbers that servers of the MySQL protocol answer with.
const (
	myDuplicate = 1062
	myDuplName  = 1586 // the same, with the name of the key
	myDeadlock  = 1213
	myLockWait  = 1205

	myTableFull = 1114
	myDiskFull  = 1021
	myGetErrno  = 1030 // "Got error 28 … from storage engine"
	myWriteFile = 3    // "Error writing file … (Errcode: 28 …)"
	myErrorFile = 1026

	myTooManyConns = 1040
	myUserConns    = 1203
	myShutdown     = 1053
	myAborted      = 1152
	myKilled       = 1927 // MariaDB
	myIdleClosed   = 4031 // MySQL

	tiWriteConflict = 9007
	tiTxnRetryable  = 8002
	tiSchemaChanged = 8028
)

// myNumber is the number that the server answered with; 0 = none.
func myNumber(err error) uint16 {
	var e *mysql.MySQLError
	if !errors.As(err, &e) {
		return 0
	}
	return e.Number
}

// IsDuplicate reports that a statement broke a primary or unique key.
func IsDuplicate(err error) bool {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY || e.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE
	}
	n := myNumber(err)
	return n == myDuplicate || n == myDuplName
}

// IsFull reports that the disk had no room for a statement.
func IsFull(err error) bool {
	if primaryCode(err) == sqlite3.SQLITE_FULL {
		return true
	}
	switch myNumber(err) {
	case myTableFull, myDiskFull:
		return true
	case myGetErrno, myWriteFile, myErrorFile: // the reason is in the text
		return strings.Contains(err.Error(), "error 28") || strings.Contains(err.Error(), "Errcode: 28") ||
			strings.Contains(err.Error(), "No space left")
	}
	return false
}

// IsLockWait reports that a statement waited for a row until its patience ended. The
// transaction is still open.
func IsLockWait(err error) bool { return myNumber(err) == myLockWait }

// conflict reports that a transaction met another one and is known to leave nothing.
func conflict(err error) bool {
	return slices.Contains([]uint16{myDeadlock, myLockWait, tiWriteConflict, tiTxnRetryable, tiSchemaChanged}, myNumber(err))
}

// IsAway reports that a statement or a transaction found no server, or lost it before it
// could take effect: the same again may succeed. A bare io.EOF is not taken for that: the
// end of a file looks the same.
func IsAway(err error) bool {
	if errors.Is(err, ErrUnavailable) {
		return true
	}
	return !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && lost(err)
}

// lost reports that there is no connection, or none any more.
func lost(err error) bool {
	if n := myNumber(err); n != 0 {
		return slices.Contains([]uint16{myTooManyConns, myUserConns, myShutdown, myAborted, myKilled, myIdleClosed}, n)
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false // somebody gave up, which a net.Error would look like
	}
	var network *net.OpError // not net.Error: the error number of a full disk is one, too
	return errors.Is(err, driver.ErrBadConn) || errors.Is(err, mysql.ErrInvalidConn) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &network)
}

// endsTransaction reports that after this error the server knows of no transaction.
func endsTransaction(err error) bool {
	return myNumber(err) != 0 && conflict(err) && !IsLockWait(err) || lost(err)
}

// primaryCode is SQLite's error code without its details; 0 = none of its errors.
func primaryCode(err error) int {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return 0
	}
	return e.Code() & 0xff
}
