package store

import (
	"fmt"

	"kula/node"
)

// Commit saves a batch: all of it is on disk when Commit returns nil. Rows must
// continue the book without a gap. Of several records with one kind and key the
// last wins. Commit keeps none of the values. An empty batch writes nothing.
// A batch that breaks a limit is refused and changes nothing. After any other
// error the batch may be on disk or not, and the store refuses all further
// Commits: Open shows which (see the package comment).
func (db *DB) Commit(records []node.Record, rows []node.Row) error {
	size, err := checkBatch(records, rows)
	if err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	db.write.Lock()
	defer db.write.Unlock()
	if err := db.writable(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	if err := checkSeq(db.last.Seq, rows); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	if len(records)+len(rows) == 0 {
		return nil
	}
	batch, entries := encodeBatch(size, db.log.salt, db.batch+1, records, rows)
	if err := db.log.write(batch); err != nil {
		db.failed = fmt.Errorf("batch %d of %d bytes was not saved: %w; restart from what is saved", db.batch+1, len(batch), err)
		return fmt.Errorf("commit: %w", db.failed)
	}
	db.batch++
	db.mem.Lock()
	db.active.apply(db.batch, len(batch), entries, db.last.Seq+1)
	db.mem.Unlock()
	if len(rows) > 0 {
		db.last = rows[len(rows)-1]
	}
	if err := db.schedule(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// writable says why nothing may be written, if so.
func (db *DB) writable() error {
	switch {
	case db.closing:
		return ErrClosed
	case db.failed != nil:
		return db.failed
	case len(db.damage) > 0:
		return fmt.Errorf("the store is read-only because it is damaged (%d problems; the first: %v); restore a backup",
			len(db.damage), db.damage[0])
	}
	return nil
}

// checkBatch checks the limits of a batch and returns its size in bytes.
func checkBatch(records []node.Record, rows []node.Row) (int, error) {
	size := batchHead
	for _, r := range records {
		switch {
		case r.Kind == "" || len(r.Kind) > maxKind:
			return 0, fmt.Errorf("kind %q has %d bytes, allowed are 1 to %d", r.Kind, len(r.Kind), maxKind)
		case r.Key == "" || len(r.Key) > maxKey:
			return 0, fmt.Errorf("a key of kind %s has %d bytes, allowed are 1 to %d", r.Kind, len(r.Key), maxKey)
		case len(r.Value) > maxValue:
			return 0, fmt.Errorf("record %s %q has %d bytes, allowed are %d", r.Kind, r.Key, len(r.Value), maxValue)
		}
		size += recordSize(r)
	}
	for _, r := range rows {
		if r.Size() > maxRow {
			return 0, fmt.Errorf("row %d of the book has %d bytes, allowed are %d", r.Seq, r.Size(), maxRow)
		}
		size += rowSize(r)
	}
	if size > maxBatch {
		return 0, fmt.Errorf("a batch of %d bytes, allowed are %d", size, maxBatch)
	}
	return size, nil
}

// checkSeq checks that rows continue a book that ends with row last.
func checkSeq(last uint64, rows []node.Row) error {
	for i, r := range rows {
		if want := last + 1 + uint64(i); r.Seq != want {
			return fmt.Errorf("row %d of the book where row %d is due", r.Seq, want)
		}
	}
	return nil
}
