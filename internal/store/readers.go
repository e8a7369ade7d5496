package store

import (
	"errors"
	"sync"

	"zombiezen.com/go/sqlite"
)

// idleReaders is how many read connections are kept open for the next use: the
// loop at start, and a few requests of the API at a time.
const idleReaders = 4

// readers hands out read connections. It opens one more when all are in use, so
// a reader inside the iteration of another one never waits.
type readers struct {
	path   string
	mu     sync.Mutex
	idle   []*sqlite.Conn
	closed bool
}

func (r *readers) get() (*sqlite.Conn, error) {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return nil, ErrClosed
	}
	if n := len(r.idle); n > 0 {
		conn := r.idle[n-1]
		r.idle = r.idle[:n-1]
		r.mu.Unlock()
		return conn, nil
	}
	r.mu.Unlock()
	return connect(r.path, false)
}

// put takes a connection back. Its statements must have been reset, or its
// read transaction would keep the log from being used anew.
func (r *readers) put(conn *sqlite.Conn) {
	r.mu.Lock()
	keep := !r.closed && len(r.idle) < idleReaders
	if keep {
		r.idle = append(r.idle, conn)
	}
	r.mu.Unlock()
	if !keep {
		_ = conn.Close() // it was only read from: nothing can be lost
	}
}

// close closes the idle connections; the others are closed when they come back.
func (r *readers) close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	var err error
	for _, conn := range r.idle {
		err = errors.Join(err, conn.Close())
	}
	r.idle = nil
	return err
}

// query runs a statement and calls each for every row until it returns false or
// an error. The statement is reset at the end whatever happens.
func query(conn *sqlite.Conn, sql string, bind func(*sqlite.Stmt), each func(*sqlite.Stmt) (bool, error)) (err error) {
	stmt, err := conn.Prepare(sql)
	if err != nil {
		return err
	}
	defer func() {
		if e := stmt.Reset(); err == nil {
			err = e
		}
	}()
	if bind != nil {
		bind(stmt)
	}
	for {
		row, err := stmt.Step()
		if err != nil || !row {
			return err
		}
		if more, err := each(stmt); err != nil || !more {
			return err
		}
	}
}

// blob copies a column. Damage may have turned a BLOB into something else;
// the caller checks the type or a sum.
func blob(stmt *sqlite.Stmt, col int) []byte {
	b := make([]byte, stmt.ColumnLen(col))
	return b[:stmt.ColumnBytes(col, b)]
}
