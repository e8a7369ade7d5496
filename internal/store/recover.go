package store

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"path/filepath"

	"zombiezen.com/go/sqlite"

	"kula/node"
)

// state is what the tables say about the log.
type state struct {
	folded int64   // the tables hold all batches up to this one
	salt   [8]byte // of the batches in the log; zero: closed cleanly, there is no log
}

func (s state) sum() int64 {
	b := binary.BigEndian.AppendUint64(s.salt[:], uint64(s.folded))
	return int64(crc32.Checksum(b, castagnoli))
}

// readState reads the state; a new store has none and is as if closed cleanly.
func readState(conn *sqlite.Conn) (st state, err error) {
	err = query(conn, "SELECT folded, salt, sum FROM state", nil, func(s *sqlite.Stmt) (bool, error) {
		st.folded = s.ColumnInt64(0)
		n := s.ColumnBytes(1, st.salt[:])
		if n != len(st.salt) || s.ColumnLen(1) != n || s.ColumnType(1) != sqlite.TypeBlob || st.sum() != s.ColumnInt64(2) {
			return false, errors.New("damaged: the state of the store does not match its checksum")
		}
		return false, nil
	})
	return st, err
}

func writeState(conn *sqlite.Conn, st state) error {
	return run(conn, "REPLACE INTO state (id, folded, salt, sum) VALUES (1, ?, ?, ?)", func(s *sqlite.Stmt) {
		s.BindInt64(1, st.folded)
		s.BindBytes(2, st.salt[:])
		s.BindInt64(3, st.sum())
	})
}

// recover folds what the last run left in the log, finds the newest row and
// begins a new log. What it cannot read it keeps in damage and changes nothing:
// Fsck must be able to look at it all.
func (db *DB) recover() error {
	st, err := readState(db.conn)
	if err != nil {
		db.damage = []Problem{{stateKind, "", err.Error()}}
		return nil
	}
	db.batch = st.folded
	batches, problems, err := db.leftover(st)
	if err != nil {
		return err
	}
	row, fault := newestRow(db.conn)
	if db.damage = append(problems, fault...); len(db.damage) > 0 {
		return nil
	}
	db.last = row
	for _, b := range batches {
		row, err := newestIn(b)
		if err != nil {
			return err
		}
		db.active.apply(b.number, b.size, b.entries, db.last.Seq+1)
		db.batch = b.number
		if row.Seq != 0 {
			db.last = row
		}
	}
	if err := db.foldAll(); err != nil {
		return err
	}
	return db.beginLog()
}

// leftover reads the log of the last run.
func (db *DB) leftover(st state) ([]batch, []Problem, error) {
	if st.salt == [8]byte{} {
		return nil, nil, nil
	}
	content, err := readLogs(db.path)
	if err != nil {
		return nil, nil, err
	}
	if content[0] == nil || content[1] == nil {
		what := fmt.Sprintf("%s or %s is missing; they belong to the database until it is closed",
			logPath(db.path, 0), logPath(db.path, 1))
		return nil, []Problem{{batchKind, "", what}}, nil
	}
	batches, problems := joinLogs(content, st.salt, st.folded)
	return batches, problems, nil
}

// beginLog makes an empty log with a new salt. The files are there before the
// state says so, and the state says so, durably, before the first batch is written.
func (db *DB) beginLog() error {
	var salt [8]byte
	if _, err := rand.Read(salt[:]); err != nil {
		return err
	}
	if err := db.log.create(db.path, salt); err != nil {
		return err
	}
	if err := syncDir(filepath.Dir(db.path)); err != nil {
		return err
	}
	return writeState(db.conn, state{db.batch, salt})
}

// newestRow reads the last row of the table book.
func newestRow(conn *sqlite.Conn) (row node.Row, problems []Problem) {
	err := query(conn, "SELECT seq, row, sum FROM book ORDER BY seq DESC LIMIT 1", nil, func(s *sqlite.Stmt) (_ bool, err error) {
		row, err = readRow(s)
		return false, err
	})
	var fault rowError
	switch {
	case errors.As(err, &fault):
		return row, []Problem{fault.Problem}
	case err != nil:
		return row, []Problem{{bookKind, "", "the newest row cannot be read: " + err.Error()}}
	}
	return row, nil
}

// newestIn returns the last row of a batch; Seq is 0 if it has none.
func newestIn(b batch) (row node.Row, err error) {
	for _, e := range b.entries {
		if e.tag == tagRow {
			if row, err = node.ParseRow(e.value); err != nil {
				return row, fmt.Errorf("batch %d: %w", b.number, err)
			}
		}
	}
	return row, nil
}
