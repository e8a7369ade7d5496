package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"kula/ident"
	"kula/wire"
)

// initView is what init prints. Words is there once in the life of an identity.
type initView struct {
	Key   ident.ID `json:"key"`
	Words []string `json:"words,omitempty"`
	Home  string   `json:"home"`
}

func (a *app) initCommand() *cobra.Command {
	var name, passphrase, words string
	var restore bool
	c := a.command("init", "Make an identity, or restore one from its 24 words", cobra.NoArgs,
		func(context.Context, []string) error {
			if restore != (words != "") {
				return wrong("--restore and --words-file FILE belong together")
			}
			if err := checkName(name); err != nil {
				return err
			}
			return a.init(name, passphrase, words)
		})
	c.Long = "Makes an identity and prints its 24 words, once: whoever has them has everything, so write them down.\n" +
		"With --restore the identity of the words in a file comes back, and its friends bring back what they agreed on."
	c.Flags().StringVar(&name, "name", "", "what friends see")
	c.Flags().StringVar(&passphrase, "passphrase-file", "", "encrypt the key with the first line of this file")
	c.Flags().BoolVar(&restore, "restore", false, "restore from 24 words instead")
	c.Flags().StringVar(&words, "words-file", "", "file with the 24 words, - for standard input")
	return c
}

func checkName(name string) error {
	if err := wire.CleanText(name, wire.MaxName); err != nil {
		return wrong("name %s: %v", strconv.Quote(name), err)
	}
	return nil
}

func (a *app) init(name, passphraseFile, wordsFile string) error {
	dir, err := a.homeDir()
	if err != nil {
		return err
	}
	path := filepath.Join(dir, keyFile)
	if _, err := os.Lstat(path); err == nil {
		return keyThere(path)
	}
	master, view := newMaster(), &initView{Home: dir}
	if wordsFile != "" {
		if master, err = a.masterFrom(wordsFile); err != nil {
			return err
		}
	} else {
		view.Words = strings.Fields(ident.NewWords(master))
	}
	view.Key = ident.NewKey(master).ID()
	settings, err := a.settings()
	if err != nil {
		return err
	}
	phrase := ""
	if setting(passphraseFile, "KULA_PASSPHRASE_FILE", settings.Passphrase, "") != "" {
		if phrase, err = a.passphrase(passphraseFile); err != nil {
			return err
		}
	}
	text, err := keyText(master, phrase)
	if err != nil {
		return err
	}
	if err := a.writeHome(dir, setting(name, "KULA_NAME", "", ""), wordsFile == "", text); err != nil {
		return err
	}
	a.print(view, view.words())
	return nil
}

// keyThere refuses to overwrite: the old key may be the only copy.
func keyThere(path string) error {
	return refuse(wire.Conflict, "there is an identity in %s already; it is not overwritten. Take another --home, or move that one away", filepath.Dir(path))
}

func (a *app) masterFrom(file string) ([32]byte, error) {
	text, err := a.readInput(file)
	if err != nil {
		return [32]byte{}, err
	}
	master, err := ident.ParseWords(text)
	if err != nil {
		return master, refuse(wire.BadRequest, "%v. Check the words in %s", err, file)
	}
	return master, nil
}

// writeHome writes the key last: a home with a key is complete.
func (a *app) writeHome(dir, name string, fresh bool, key []byte) error {
	if err := os.MkdirAll(dir, homeMode); err != nil {
		return err
	}
	if name != "" {
		err := writeNew(filepath.Join(dir, configFile), fmt.Appendf(nil, "name = %s\n", strconv.Quote(name)))
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if err != nil {
			a.note("kula: %s is there already and stays as it is; its name is the one that counts.", filepath.Join(dir, configFile))
		}
	}
	if fresh {
		if err := newStore(dir); err != nil {
			return err
		}
	}
	path := filepath.Join(dir, keyFile)
	err := writeNew(path, key)
	if errors.Is(err, fs.ErrExist) {
		return keyThere(path)
	}
	return err
}

func (v *initView) words() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Your key is %s\n", v.Key)
	if v.Words == nil {
		fmt.Fprintf(&b, "Restored. Start it with: kula up. Friends who know your address come back by themselves;\nthe others you find with: kula friend find KEY ADDRESS\n")
		return b.String()
	}
	b.WriteString("Write these 24 words down and keep them safe. They are shown only now; whoever has them has everything:\n\n")
	for i, w := range v.Words {
		fmt.Fprintf(&b, "%2d %-10s", i+1, w)
		if i%4 == 3 { // four columns fit any terminal
			b.WriteString("\n")
		}
	}
	b.WriteString("\nNow start it with: kula up\n")
	return b.String()
}
