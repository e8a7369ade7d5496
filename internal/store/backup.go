package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

// Backup copies the store, as it is at one moment between two Commits, into a
// new file at dst (mode 0600), and returns when the copy is on disk. Commits wait
// only while the log is folded. The copy is a store of its own that Open opens. An existing
// file is never overwritten; after an error there is none.
func (db *DB) Backup(dst string) error {
	if err := db.backup(dst); err != nil {
		return fmt.Errorf("back up to %s: %w", dst, err)
	}
	return nil
}

func (db *DB) backup(dst string) (err error) {
	src, err := db.readers.get()
	if err != nil {
		return err
	}
	defer db.readers.put(src)
	f, err := os.OpenFile(dst, os.O_CREATE|os.O_EXCL|os.O_RDWR, fileMode)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(dst))
		}
	}()
	if err := db.copyTo(dst, src); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	return syncDir(filepath.Dir(dst))
}

// copyTo folds everything, so that the database alone is the whole store, and
// copies that moment's pages. Commits wait for the fold, not for the copy.
func (db *DB) copyTo(dst string, src *sqlite.Conn) error {
	folded, err := db.snapshot(src)
	if err != nil {
		return err
	}
	err = copyPages(dst, src, folded)
	return errors.Join(err, sqlitex.ExecuteTransient(src, "ROLLBACK", nil))
}

// snapshot folds and begins a read transaction. It returns the newest batch.
func (db *DB) snapshot(src *sqlite.Conn) (int64, error) {
	db.tables.Lock()
	defer db.tables.Unlock()
	db.write.Lock()
	defer db.write.Unlock()
	if err := db.writable(); err != nil {
		return 0, err
	}
	if err := db.foldAll(); err != nil {
		return 0, err
	}
	if err := sqlitex.ExecuteTransient(src, "BEGIN", nil); err != nil {
		return 0, err
	}
	st, err := readState(src) // SQLite fixes the moment at the first read
	if err != nil {
		return 0, errors.Join(err, sqlitex.ExecuteTransient(src, "ROLLBACK", nil))
	}
	return st.folded, nil
}

// copyPages copies all pages; the copy has no log.
func copyPages(dst string, src *sqlite.Conn, folded int64) error {
	to, err := sqlite.OpenConn(dst, sqlite.OpenReadWrite)
	if err != nil {
		return err
	}
	copying, err := sqlite.NewBackup(to, "main", src, "main")
	if err != nil {
		return errors.Join(err, to.Close())
	}
	_, err = copying.Step(-1)
	if err = errors.Join(err, copying.Close()); err == nil {
		err = writeState(to, state{folded: folded})
	}
	return errors.Join(err, to.Close())
}
