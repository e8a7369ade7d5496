package cli

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"filippo.io/age"
	"filippo.io/age/armor"
	"golang.org/x/term"

	"kula/ident"
	"kula/wire"
)

// The key file is text, mode 0600:
//
//	# kula key 1
//	# identity <key in z-base-32>
//	KULA-SECRET-KEY-1 <64 hex digits>
//
// The digits are the master seed. With a passphrase the last line is instead
// encrypted with age (scrypt) and stands there as an armored age file. The
// identity is in clear, so that `kula id` needs no passphrase; whoever opens the
// file checks that the seed belongs to it.
const (
	keyHeader   = "# kula key 1"
	keyIdentity = "# identity "
	keySecret   = "KULA-SECRET-KEY-1 "

	keyMode  = 0o600
	homeMode = 0o700

	// maxInput bounds every small file that is read whole: keys, words, links,
	// passphrases. The largest is a proof of fault with 2,000 open payments, 1 MiB as a link.
	maxInput = 4 << 20
)

// keyText writes a key file; an empty passphrase leaves the seed in clear.
func keyText(master [32]byte, passphrase string) ([]byte, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\n%s%s\n", keyHeader, keyIdentity, ident.NewKey(master).ID())
	secret := keySecret + hex.EncodeToString(master[:]) + "\n"
	if passphrase == "" {
		b.WriteString(secret)
		return b.Bytes(), nil
	}
	to, err := age.NewScryptRecipient(passphrase) // age's own work factor: about a second
	if err != nil {
		return nil, err
	}
	armored := armor.NewWriter(&b)
	w, err := age.Encrypt(armored, to)
	if err != nil {
		return nil, err
	}
	_, err = io.WriteString(w, secret)
	err = errors.Join(err, w.Close(), armored.Close()) // only now is all of it in b
	return b.Bytes(), err
}

// keyContent is a key file that was read but perhaps not opened.
type keyContent struct {
	id   ident.ID
	body string // the secret line, or the armored age file
}

func parseKey(text string) (*keyContent, error) {
	header, rest, _ := strings.Cut(text, "\n")
	line, body, _ := strings.Cut(rest, "\n")
	spelled, ok := strings.CutPrefix(line, keyIdentity)
	if header != keyHeader || !ok {
		return nil, fmt.Errorf("it does not begin with %q and the identity", keyHeader)
	}
	id, err := ident.ParseID(spelled)
	if err != nil {
		return nil, err
	}
	return &keyContent{id, body}, nil
}

func (k *keyContent) encrypted() bool { return strings.HasPrefix(k.body, armor.Header) }

// open gives the key; passphrase is asked for only if the file is encrypted.
func (k *keyContent) open(passphrase func() (string, error)) (*ident.Key, error) {
	secret := k.body
	if k.encrypted() {
		phrase, err := passphrase()
		if err != nil {
			return nil, err
		}
		if secret, err = decryptKey(k.body, phrase); err != nil {
			return nil, err
		}
	}
	digits, ok := strings.CutPrefix(secret, keySecret)
	digits, end := strings.CutSuffix(digits, "\n")
	master, err := hex.DecodeString(digits)
	if !ok || !end || err != nil || len(master) != 32 {
		return nil, errors.New("the secret is not one line of 64 hex digits")
	}
	key := ident.NewKey([32]byte(master))
	if key.ID() != k.id {
		return nil, fmt.Errorf("the secret belongs to %s, the file says %s", key.ID(), k.id)
	}
	return key, nil
}

func decryptKey(body, passphrase string) (string, error) {
	by, err := age.NewScryptIdentity(passphrase)
	if err != nil {
		return "", err
	}
	r, err := age.Decrypt(armor.NewReader(strings.NewReader(body)), by)
	if err != nil {
		var noMatch *age.NoIdentityMatchError
		if errors.As(err, &noMatch) {
			return "", errors.New("the passphrase is wrong")
		}
		return "", err
	}
	return readAll(r)
}

// readKey reads the key file of the home without opening it.
func (a *app) readKey() (*keyContent, error) {
	dir, err := a.homeDir()
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, keyFile)
	text, err := a.readInput(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, refuse(wire.NotFound, "there is no identity in %s. Make one with: kula init", dir)
	}
	if err != nil {
		return nil, err
	}
	k, err := parseKey(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return k, nil
}

// openKey reads and opens the key file; file is that of --passphrase-file or "".
func (a *app) openKey(file string) (*ident.Key, error) {
	k, err := a.readKey()
	if err != nil {
		return nil, err
	}
	key, err := k.open(func() (string, error) { return a.passphrase(file) })
	var f *failure
	if err != nil && !errors.As(err, &f) {
		return nil, fmt.Errorf("the key file cannot be opened: %w", err)
	}
	return key, err
}

// passphrase comes from the file that a setting names, or from the terminal.
func (a *app) passphrase(file string) (string, error) {
	settings, err := a.settings()
	if err != nil {
		return "", err
	}
	if file = setting(file, "KULA_PASSPHRASE_FILE", settings.Passphrase, ""); file != "" {
		text, err := a.readInput(file)
		if err != nil {
			return "", err
		}
		line, _, _ := strings.Cut(text, "\n")
		if line = strings.TrimRight(line, "\r"); line == "" {
			return "", fmt.Errorf("the first line of %s is empty; the passphrase must stand there", file)
		}
		return line, nil
	}
	in, isFile := a.in.(*os.File)
	if !a.terminal || !isFile {
		return "", refuse(wire.NotAllowed, "the key is encrypted. Name the file with its passphrase: --passphrase-file FILE")
	}
	fmt.Fprint(a.err, "Passphrase: ")
	phrase, err := term.ReadPassword(int(in.Fd()))
	fmt.Fprintln(a.err)
	return string(phrase), err
}

// writeNew writes a file that must not be there yet, whole or not at all, and is
// on disk when it returns.
func writeNew(path string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".kula-*") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // after Link only the second name of the file
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil { // unlike Rename it never replaces
		return err
	}
	return syncDir(filepath.Dir(path))
}

// writeOut is writeNew for a file that the user named.
func writeOut(path string, content []byte) error {
	err := writeNew(path, content)
	if errors.Is(err, fs.ErrExist) {
		return mustBeNew(path)
	}
	return err
}

// mustBeNew refuses a path where something is.
func mustBeNew(path string) error {
	if _, err := os.Lstat(path); err == nil {
		return refuse(wire.BadRequest, "%s is there already and is not replaced. Name a new file", path)
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// readAll reads a small text.
func readAll(r io.Reader) (string, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxInput+1))
	if err == nil && len(data) > maxInput {
		err = fmt.Errorf("more than %d bytes", maxInput)
	}
	return string(data), err
}

// newMaster draws the seed of a new identity.
func newMaster() (master [32]byte) {
	rand.Read(master[:]) // never fails
	return master
}
