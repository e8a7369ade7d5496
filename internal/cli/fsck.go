package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"kula/ident"
	"kula/internal/store"
	"kula/node"
	"kula/wire"
)

const (
	// storeFile holds the node's records and book.
	storeFile = "kula.db"

	// originKind and originKey name the record that says where a store came from. A
	// store without it belongs to an identity that is older than it: the node then asks
	// its friends before it signs. So a store that was deleted is never taken for new.
	originKind = "origin"
	originKey  = "origin"
)

// newStore makes the store of a new identity.
func newStore(dir string) (err error) {
	db, err := store.Open(filepath.Join(dir, storeFile))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	for _, err := range db.Load() {
		if err != nil {
			return err
		}
		return refuse(wire.Conflict, "there is the data of another identity in %s, without its key. Restore that one with --restore, or take another --home", dir)
	}
	return db.Commit([]node.Record{{Kind: originKind, Key: originKey, Value: []byte("init")}}, nil)
}

// openStore opens the store of the home. restored says that it does not know what
// the identity has signed before.
func openStore(dir string) (db *store.DB, restored bool, err error) {
	db, err = store.Open(filepath.Join(dir, storeFile))
	if errors.Is(err, store.ErrInUse) {
		return nil, false, refuse(wire.Conflict, "a node runs there already: %v", err)
	}
	if errors.Is(err, store.ErrDamaged) {
		return nil, false, damaged(dir, err)
	}
	if err != nil {
		return nil, false, err
	}
	restored = true
	for r, err := range db.Load(originKind) { // not Get, which would take a damaged key for another one
		if err != nil {
			return nil, false, errors.Join(damaged(dir, err), db.Close())
		}
		restored = restored && r.Key != originKey
	}
	return db, restored, nil
}

func damaged(dir string, err error) error {
	return refuse(wire.StorageFailed, "the data in %s cannot be used: %v. See all of it with: kula fsck", dir, err)
}

// fsckView is the result of fsck.
type fsckView struct {
	Valid    bool          `json:"valid"`
	Problems []problemView `json:"problems"`
}

// problemView names what is wrong: a record by kind and key, a row of the book, or
// with neither the book as a whole.
type problemView struct {
	Kind string `json:"kind,omitempty"`
	Key  string `json:"key,omitempty"`
	What string `json:"what"`
}

func (p problemView) String() string {
	return store.Problem{Kind: p.Kind, Key: p.Key, What: p.What}.String()
}

func (a *app) fsckCommand() *cobra.Command {
	var passphrase string
	c := a.command("fsck", "Check everything that is stored, and name what is wrong", cobra.NoArgs, func(context.Context, []string) error {
		v, err := a.fsck(passphrase)
		if err != nil {
			return err
		}
		if !v.Valid {
			lines := []string{fmt.Sprintf("%d problems:", len(v.Problems))}
			for _, p := range v.Problems {
				lines = append(lines, "  "+p.String())
			}
			return &failure{code: wire.StorageFailed.String(), text: strings.Join(lines, "\n"), result: v}
		}
		a.print(v, "All is well.")
		return nil
	})
	c.Long = "Checks the checksum of every record and row, the chain of the book, and whether the book adds up to what friends owe.\n" +
		"The node must not run. Nothing is repaired: a damaged store is restored from the 24 words, with kula init --restore."
	c.Flags().StringVar(&passphrase, "passphrase-file", "", "file with the passphrase of the key")
	return c
}

func (a *app) fsck(passphrase string) (*fsckView, error) {
	dir, err := a.homeDir()
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(dir, storeFile)); errors.Is(err, fs.ErrNotExist) {
		return nil, refuse(wire.NotFound, "there is no data in %s. Make an identity with: kula init", dir)
	}
	key, err := a.openKey(passphrase)
	if err != nil {
		return nil, err
	}
	v := &fsckView{Problems: []problemView{}}
	db, err := store.Open(filepath.Join(dir, storeFile))
	if errors.Is(err, store.ErrInUse) {
		return nil, refuse(wire.Conflict, "the node runs: %v", err)
	}
	if err != nil { // too damaged to open: that is what fsck is to say
		v.Problems = append(v.Problems, problemView{"sqlite", "", err.Error()})
		return v, nil
	}
	defer db.Close()
	for _, p := range db.Fsck() {
		v.Problems = append(v.Problems, problemView{p.Kind, p.Key, p.What})
	}
	if len(v.Problems) == 0 { // what the bytes mean can be judged only if they are whole
		v.Problems = append(v.Problems, judge(key, db)...)
	}
	v.Valid = len(v.Problems) == 0
	return v, nil
}

// judge loads the node and lets it compare the book with its channels.
func judge(key *ident.Key, db *store.DB) (problems []problemView) {
	n, err := loadNode(key, db)
	if err != nil {
		return []problemView{{"node", "", err.Error()}}
	}
	if n == nil {
		return nil
	}
	for _, what := range n.Check(db.Book()) {
		problems = append(problems, problemView{"book", "", what})
	}
	return problems
}

// loadNode is the node that a store holds, nil for none yet.
func loadNode(key *ident.Key, db *store.DB) (*node.Node, error) {
	for _, err := range db.Load(node.Kinds...) {
		if err != nil {
			return nil, err
		}
		return node.Load(key, node.Config{}, db.Load(node.Kinds...))
	}
	return nil, nil
}
