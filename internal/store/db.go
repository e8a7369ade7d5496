package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"kula/node"
)

// ErrInUse is wrapped by the error of Open when another process has the store open.
var ErrInUse = errors.New("already in use")

// ErrDamaged is wrapped by every error that says that what is stored is not what was written.
var ErrDamaged = errors.New("damaged")

// ErrClosed is the error of every call after Close.
var ErrClosed = errors.New("the store is closed")

// applicationID marks the file as Kula's: the letters "KULA".
const applicationID = 0x4b554c41

// pageSize of the database file in bytes. 8 KiB: a batch of one payment (about
// 3 KB) mostly fits in the page that is being filled, and a big batch costs half
// of the per-page work of SQLite's usual 4 KiB. Larger pages were slower alone.
const pageSize = 8192

// fileMode: the records hold who owes whom, so nobody else may read them.
const fileMode = 0o600

// schema holds one script per version: script i takes a database from
// user_version i to i+1. Scripts are only ever appended.
var schema = []string{
	`CREATE TABLE record (
		kind TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, sum INTEGER NOT NULL,
		PRIMARY KEY (kind, key)
	) STRICT, WITHOUT ROWID;
	CREATE TABLE book (seq INTEGER PRIMARY KEY, row BLOB NOT NULL, sum INTEGER NOT NULL) STRICT;
	CREATE TABLE state (id INTEGER PRIMARY KEY, folded INTEGER NOT NULL, salt BLOB NOT NULL, sum INTEGER NOT NULL) STRICT;`,
}

// sizes are the bounds of a window.
type sizes struct {
	window  int // bytes of log
	entries int
}

// usual sizes: 8 MiB of log is a quarter of a second at 10,000 payments/s, 50
// times as long as most locks live, so few of them reach a table; it is read and
// folded in some 30 ms at Open. 64 Ki entries bound the maps when values are tiny.
var usual = sizes{window: 8 << 20, entries: 64 << 10}

// DB is a store in a SQLite file. Its methods may be called from any goroutine.
type DB struct {
	path    string
	limits  sizes
	lock    *os.File
	readers readers
	damage  []Problem // found by Open in the log or the newest row; not empty: only for Fsck

	tables sync.Mutex   // held for every use of conn; taken before write
	conn   *sqlite.Conn // the only one that writes
	kept   kept

	write sync.Mutex // taken before mem
	writer

	mem    sync.RWMutex // guards the two windows; both change only under write too
	active *window      // what was committed last
	frozen *window      // what is being folded; nil if nothing is

	thawed *sync.Cond    // on write: frozen was folded, or could not be
	wake   chan struct{} // one token: there is a frozen window
	done   sync.WaitGroup
}

// writer is the state behind DB.write.
type writer struct {
	log     batchLog
	batch   int64    // newest batch
	last    node.Row // newest row of the book; Seq 0 if there is none
	failed  error    // why Commit refuses; nil while all is well
	closing bool
}

// Open opens the store in the file at path and creates it if there is none
// (the directory must exist). It locks it against other processes, brings the
// schema up to date and folds what the last run left. It fails for a file of another
// program or of a newer version, and with ErrDamaged for one that SQLite cannot read.
// Damaged records do not make it fail: Load and Fsck name them.
func Open(path string) (*DB, error) { return open(path, usual) }

func open(path string, limits sizes) (_ *DB, err error) {
	lock, err := lockFile(path + ".lock")
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", path, err)
	}
	db := &DB{path: path, limits: limits, lock: lock, active: newWindow(), wake: make(chan struct{}, 1)}
	db.readers.path, db.thawed = path, sync.NewCond(&db.write)
	defer func() {
		if err != nil {
			switch sqlite.ErrCode(err) {
			case sqlite.ResultCorrupt, sqlite.ResultNotADB:
				err = fmt.Errorf("%w: %w", ErrDamaged, err)
			}
			err = fmt.Errorf("open store %s: %w", path, err)
			db.release()
		}
	}()
	if err := createFile(path); err != nil {
		return nil, err
	}
	if db.conn, err = connect(path, true); err != nil {
		return nil, err
	}
	if err := migrate(db.conn); err != nil {
		return nil, err
	}
	if err := db.recover(); err != nil {
		return nil, err
	}
	db.done.Add(1)
	go db.maintain()
	return db, nil
}

// createFile makes sure that the file exists and is private before SQLite sees
// it: SQLite gives its own two files the same mode. The directory is synced, so
// that the file's name survives a power cut as surely as what is in it.
func createFile(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, fileMode)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Chmod(fileMode), f.Close()); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// connect opens a connection. The writer's cache holds the upper pages of the
// tables and the pages that a window touches; a reader's cache is lost with
// every fold, so it is small.
func connect(path string, write bool) (*sqlite.Conn, error) {
	flags, cacheKiB, only := sqlite.OpenReadWrite, 16<<10, 0
	if !write {
		cacheKiB, only = 2<<10, 1
	}
	conn, err := sqlite.OpenConn(path, flags)
	if err != nil {
		return nil, err
	}
	for _, pragma := range []string{
		fmt.Sprintf("PRAGMA page_size=%d", pageSize), // only has an effect before the first table
		"PRAGMA journal_mode=WAL",
		"PRAGMA synchronous=FULL",
		"PRAGMA wal_autocheckpoint=0", // DB.maintain does it
		"PRAGMA temp_store=MEMORY",
		"PRAGMA trusted_schema=OFF",
		fmt.Sprintf("PRAGMA cache_size=-%d", cacheKiB),
		fmt.Sprintf("PRAGMA query_only=%d", only),
	} {
		if err := sqlitex.ExecuteTransient(conn, pragma, nil); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
	}
	return conn, nil
}

// number runs a query that yields one integer; no row is 0.
func number(conn *sqlite.Conn, query string) (n int64, err error) {
	err = sqlitex.ExecuteTransient(conn, query, &sqlitex.ExecOptions{ResultFunc: func(s *sqlite.Stmt) error {
		n = s.ColumnInt64(0)
		return nil
	}})
	return n, err
}

// migrate applies the scripts of schema that the file has not seen, each with
// its version in one transaction.
func migrate(conn *sqlite.Conn) error {
	version, err := number(conn, "PRAGMA user_version")
	if err != nil {
		return err
	}
	app, err := number(conn, "PRAGMA application_id")
	if err != nil {
		return err
	}
	tables, err := number(conn, "SELECT count(*) FROM sqlite_schema")
	if err != nil {
		return err
	}
	if app != applicationID && (app != 0 || version != 0 || tables != 0) {
		return fmt.Errorf("this is a database of another program (application id %#x, Kula's is %#x)", app, applicationID)
	}
	if version > int64(len(schema)) {
		return fmt.Errorf("written by a newer version: its schema is %d, this program knows up to %d; use the newer program",
			version, len(schema))
	}
	for i := version; i < int64(len(schema)); i++ {
		script := fmt.Sprintf("%s\nPRAGMA application_id=%d;\nPRAGMA user_version=%d;", schema[i], applicationID, i+1)
		if err := sqlitex.ExecuteScript(conn, script, nil); err != nil {
			return fmt.Errorf("schema %d: %w", i+1, err)
		}
	}
	return nil
}

// Close folds what is left, so that the database is one file, and gives the lock
// up. After a failed Commit it leaves the files as they are.
func (db *DB) Close() error {
	db.write.Lock()
	if db.closing {
		db.write.Unlock()
		return ErrClosed
	}
	db.closing = true
	db.write.Unlock()
	close(db.wake)
	db.done.Wait()

	db.tables.Lock()
	defer db.tables.Unlock()
	db.write.Lock()
	defer db.write.Unlock()
	var err error
	if db.failed == nil && len(db.damage) == 0 {
		err = db.endLog()
	}
	if err := errors.Join(err, db.release()); err != nil {
		return fmt.Errorf("close store %s: %w", db.path, err)
	}
	return nil
}

// endLog folds everything and takes the log away.
func (db *DB) endLog() error {
	if err := db.foldAll(); err != nil {
		return err
	}
	if err := writeState(db.conn, state{folded: db.batch}); err != nil {
		return err
	}
	return errors.Join(os.Remove(logPath(db.path, 0)), os.Remove(logPath(db.path, 1)))
}

// release closes the connections and files and unlocks. SQLite checkpoints when
// the last connection closes.
func (db *DB) release() error {
	err := errors.Join(db.readers.close(), db.log.close())
	if db.conn != nil {
		err = errors.Join(err, db.conn.Close())
		db.conn = nil
	}
	return errors.Join(err, db.lock.Close())
}
