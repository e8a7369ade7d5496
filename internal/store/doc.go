// Package store keeps what a node must not forget: its records (a value under
// a kind and a key) and its account book (numbered, hash-chained rows). It
// keeps bytes and rows; what they mean and which of them may exist is decided
// by the packages of the protocol.
//
// # Promise
//
//   - Commit is one transaction and is on disk when it returns: after a crash
//     at any moment a batch is there whole or not at all, and every batch whose
//     Commit returned nil is there.
//   - After a Commit that failed, the store refuses all further Commits: the
//     disk no longer follows the node, which must restart from what was saved.
//   - One process at a time. A second Open fails with ErrInUse and names who
//     holds the store.
//   - Damage is named, never skipped: every reader checks every checksum it
//     passes and fails with the kind and key of what is damaged. Fsck goes on
//     and lists everything. A store whose log or newest row is damaged can be
//     looked at with Fsck and nothing else.
//   - Memory and files stay bounded: see Folding.
//
// It never interprets a value, never changes one, never deletes a row, and
// never writes what was not in a Commit.
//
// # Files
//
// While it is closed a store is one SQLite database (application id "KULA",
// user_version is the schema's number), mode 0600. While it is open, and after a
// crash, these belong to it too and must be kept together: SQLite's own "-wal"
// and "-shm", and ".batches0" and ".batches1", the log. A ".lock" file is locked
// while a process has the store open. The tables:
//
//	record   kind TEXT, key TEXT, value BLOB, sum INTEGER    primary key (kind, key)
//	book     seq INTEGER primary key, row BLOB, sum INTEGER
//	state    id = 1, folded INTEGER, salt BLOB, sum INTEGER
//
// A row of the book is its canonical bytes (node.Row.Append). Folded is the last
// batch of the log that is in the tables; salt is that of the log, 8 zero bytes
// if the store was closed; the sum of the state is over salt and folded (8 bytes).
//
// # Log
//
// A Commit writes one batch to the end of the log and waits for the disk; that
// is all that a Commit waits for. A batch is a head and its entries:
//
//	salt 8 | number 8 | length of entries 4 | count of entries 4 | sum of entries 4 | sum of head 4
//
//	tag 1 | length of body 4 | body | sum 4        an entry
//
//	'P' put      body: length of kind 2 | kind | length of key 2 | key | value
//	'D' delete   body: length of kind 2 | kind | length of key 2 | key
//	'R' row      body: canonical bytes of the row
//
// Integers are big endian. Batches are numbered 1, 2, 3… over the store's life.
// The salt is random for each Open, so that neither old bytes in the file nor
// bytes in a value are taken for a batch. A sum is the CRC-32C (Castagnoli) of
// what it is over; an entry's is of all of the entry before it, and the tables
// record and book keep the sum of the 'P' or 'R' entry that the value came in. A
// CRC-32C finds every change that lies within 32 bits, so every change of one
// byte, without exception. Where an entry is damaged, reading goes on at the
// next place where a whole entry begins, so that its neighbours are still read.
//
// The last batch of the log may be half written after a crash. Its Commit never
// returned, so it is left out without a word. A damaged batch with a good one
// after it is damage.
//
// # Folding
//
// Most records of a payment live for a few batches only. So a Commit touches no
// table; its changes are also kept in memory (the window), where readers look
// first. When a window is full, Commits go on with a new window in the other
// file of the log, and in the background the full one is folded: what it has
// come to is written into record, book and state.folded in one durable
// transaction; only then may the file be written over. A record that was put and
// deleted in one window never touches a table.
// After a crash Open folds what it finds in the log. When the new window is twice
// full before the old one is folded, Commit waits.
//
// # Why not SQLite alone
//
// The log does what SQLite's own could do, at a fraction of the cost. Measured
// (BenchmarkCommit…) for one payment of six changes and two rows in batches of
// 100: 22 to 28 µs of CPU when each batch is one row of a table that is folded
// later, 14 µs so; alone, 1.2 to 1.4 times and 1.1 times a bare fdatasync.
package store
