package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"kula/ident"
	"kula/internal/run"
	"kula/node"
	"kula/wire"
)

// A backup is what the 24 words do not bring back by themselves: whom to ask, and
// where. It is the link kula:backup?d=<heads>, where heads are sealed to the
// identity (node.Node.Heads), so it may be kept anywhere. What each friend and I
// owe comes back from the friend; a new backup is worth making after new friends.
const linkBackup = "backup"

// pendingBackup is a backup that the node takes up at its next start.
const pendingBackup = "restore"

func (a *app) backupCommand() *cobra.Command {
	return a.group("backup", "Remember who my friends are and where, for a restore", a.backupCreateCommand(), a.backupRestoreCommand())
}

// backupView is the result of create.
type backupView struct {
	Key    ident.ID `json:"key"`
	Backup string   `json:"backup"`
	File   string   `json:"file,omitempty"`
}

func (a *app) backupCreateCommand() *cobra.Command {
	var passphrase string
	c := a.command("create [FILE]", "Make a backup", cobra.MaximumNArgs(1), func(ctx context.Context, args []string) error {
		k, err := a.readKey()
		if err != nil {
			return err
		}
		sealed, err := a.heads(ctx, passphrase)
		if err != nil {
			return err
		}
		v := &backupView{Key: k.id, Backup: wire.Link(linkBackup, sealed)}
		if len(args) == 0 {
			a.print(v, v.Backup)
			return nil
		}
		v.File = args[0]
		err = writeNew(v.File, []byte(v.Backup+"\n"))
		if errors.Is(err, fs.ErrExist) {
			return refuse(wire.Conflict, "%s is there already; it is not overwritten", v.File)
		}
		if err != nil {
			return err
		}
		a.print(v, fmt.Sprintf("Written to %s. Only the identity of your 24 words can read it. Make a new one when you have new friends.", v.File))
		return nil
	})
	c.Long = "Writes, sealed so that only this identity can read it, who the friends are and where they are reached.\n" +
		"With it and the 24 words everything comes back: what is owed is restored by the friends themselves."
	c.Flags().StringVar(&passphrase, "passphrase-file", "", "file with the passphrase of the key (needed only while the node does not run)")
	return c
}

// heads asks the node, or if none runs makes them from the store.
func (a *app) heads(ctx context.Context, passphrase string) ([]byte, error) {
	if c, err := a.client(); err == nil {
		sealed, err := c.Backup(ctx)
		if err == nil || !unreachable(err) {
			return sealed, err
		}
	}
	dir, err := a.homeDir()
	if err != nil {
		return nil, err
	}
	key, err := a.openKey(passphrase)
	if err != nil {
		return nil, err
	}
	db, _, err := openStore(dir)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	n, err := loadNode(key, db)
	if err != nil {
		return nil, damaged(dir, err)
	}
	if n == nil {
		n = node.New(key, node.Config{})
	}
	sealed, no := n.Heads()
	if no != nil {
		return nil, refuse(no.Code, "%s", no.Text)
	}
	return sealed, nil
}

// restoredView is the result of restore.
type restoredView struct {
	Friends []restoredFriend `json:"friends"`
	Pending bool             `json:"pending"` // the node takes it up when it starts
}

type restoredFriend struct {
	Key       ident.ID `json:"key"`
	Name      string   `json:"name"`
	Addresses []string `json:"addresses"`
}

func (a *app) backupRestoreCommand() *cobra.Command {
	var passphrase string
	c := a.command("restore FILE", "Look for the friends in a backup", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		link, err := a.linkFrom(args[0])
		if err != nil {
			return err
		}
		sealed, err := wire.ParseLink(linkBackup, link)
		if err != nil {
			return wrong("%s: %v", args[0], err)
		}
		key, err := a.openKey(passphrase)
		if err != nil {
			return err
		}
		heads, err := openHeads(key, sealed)
		if err != nil {
			return err
		}
		return a.restoreFriends(ctx, heads, link)
	})
	c.Long = "Tells the node, now or at its next start, where the friends in a backup are reached. They restore what is owed.\n" +
		"The identity itself is restored before with: kula init --restore --words-file FILE"
	c.Flags().StringVar(&passphrase, "passphrase-file", "", "file with the passphrase of the key")
	return c
}

func (a *app) restoreFriends(ctx context.Context, heads *wire.Heads, link string) error {
	v := &restoredView{Friends: []restoredFriend{}}
	for _, h := range heads.List {
		v.Friends = append(v.Friends, restoredFriend{h.Friend, h.Name, append([]string{}, h.Addresses...)})
	}
	dir, err := a.homeDir()
	if err != nil {
		return err
	}
	c, err := a.client()
	if err == nil {
		for _, f := range v.Friends {
			for _, addr := range f.Addresses {
				if _, err = c.Find(ctx, f.Key.String(), addr, f.Name); err != nil {
					break
				}
			}
		}
	}
	if unreachable(err) {
		v.Pending = true
		err = os.WriteFile(filepath.Join(dir, pendingBackup), []byte(link+"\n"), keyMode)
	}
	if err != nil {
		return err
	}
	when := "They are being looked for; what is owed comes back with each of them."
	if v.Pending {
		when = "They are looked for when the node starts: kula up"
	}
	a.print(v, fmt.Sprintf("The backup names %d friends. %s", len(v.Friends), when))
	return nil
}

// openHeads opens heads that this identity sealed.
func openHeads(key *ident.Key, sealed []byte) (*wire.Heads, error) {
	heads, err := node.OpenHeads(key, sealed)
	if err != nil {
		return nil, refuse(wire.BadSignature, "the backup is not one of %s, or it was altered", key.ID())
	}
	return heads, nil
}

// pickUpBackup reads a backup that was restored while the node did not run; nil for
// none. It is called before the node has the key to itself. What cannot be read any
// more is not worth stopping for.
func (a *app) pickUpBackup(dir string, key *ident.Key) *wire.Heads {
	path := filepath.Join(dir, pendingBackup)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	link, err := a.linkFrom(path)
	var sealed []byte
	if err == nil {
		sealed, err = wire.ParseLink(linkBackup, link)
	}
	if err == nil {
		var heads *wire.Heads
		if heads, err = openHeads(key, sealed); err == nil {
			return heads
		}
	}
	a.complain(fmt.Sprintf("the backup in %s is left alone: %v", path, err))
	return nil
}

// lookFor tells a node about the friends of a backup, which is then done with.
func (a *app) lookFor(ctx context.Context, dir string, heads *wire.Heads, loop *run.Loop) error {
	if heads == nil {
		return nil
	}
	for _, h := range heads.List {
		for _, addr := range h.Addresses {
			if _, err := loop.Do(ctx, &node.Find{Friend: h.Friend.String(), Address: addr, Name: h.Name}); err != nil {
				a.complain(fmt.Sprintf("friend %s of the backup: %v", h.Friend.Short(), err))
			}
		}
	}
	return os.Remove(filepath.Join(dir, pendingBackup))
}
