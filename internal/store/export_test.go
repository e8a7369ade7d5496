package store

import (
	"zombiezen.com/go/sqlite/sqlitex"
)

// OpenSmall opens a store whose windows are full after so many entries, so that
// a short test folds often.
func OpenSmall(path string, entries int) (*DB, error) {
	return open(path, sizes{window: usual.window, entries: entries})
}

// BreakLog makes every later write to the log fail.
func (db *DB) BreakLog() error {
	db.write.Lock()
	defer db.write.Unlock()
	return db.log.files[db.log.now].Close()
}

// BreakTables makes every later write to the tables fail.
func (db *DB) BreakTables() error {
	db.tables.Lock()
	defer db.tables.Unlock()
	return sqlitex.ExecuteTransient(db.conn, "PRAGMA query_only=1", nil)
}

// LogEnd is where the next batch begins in the file of the log that is written to.
func (db *DB) LogEnd() int { return int(db.log.at) }

// Path is the path of the database.
func (db *DB) Path() string { return db.path }
