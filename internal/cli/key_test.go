package cli

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kula/ident"
	"kula/node"
)

func never() (string, error) { return "", errors.New("no passphrase was needed") }

func TestKeyFile(t *testing.T) {
	master := [32]byte{7}
	id := ident.NewKey(master).ID()
	plain, err := keyText(master, "")
	if err != nil {
		t.Fatal(err)
	}
	k, err := parseKey(string(plain))
	if err != nil || k.id != id || k.encrypted() {
		t.Fatalf("%v, %v", k, err)
	}
	key, err := k.open(never)
	if err != nil || key.ID() != id {
		t.Fatalf("opened: %v", err)
	}
	other := strings.Replace(string(plain), id.String(), ident.NewKey([32]byte{8}).ID().String(), 1)
	if k, err := parseKey(other); err != nil {
		t.Fatal(err)
	} else if _, err := k.open(never); err == nil {
		t.Error("the secret of another identity was taken")
	}
}

func TestEncryptedKeyFile(t *testing.T) {
	master := [32]byte{7}
	text, err := keyText(master, "open sesame")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), keySecret) {
		t.Error("the secret is in clear")
	}
	k, err := parseKey(string(text))
	if err != nil || !k.encrypted() {
		t.Fatal(err)
	}
	if key, err := k.open(func() (string, error) { return "open sesame", nil }); err != nil || key.ID() != ident.NewKey(master).ID() {
		t.Errorf("the right passphrase: %v", err)
	}
	if _, err := k.open(func() (string, error) { return "open barley", nil }); err == nil || !strings.Contains(err.Error(), "passphrase is wrong") {
		t.Errorf("a wrong passphrase: %v", err)
	}
}

// FuzzKeyFile: a file that is read and opened without a passphrase is written the same.
func FuzzKeyFile(f *testing.F) {
	good, err := keyText([32]byte{7}, "")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(good))
	f.Add("# kula key 1\n# identity \n")
	f.Fuzz(func(t *testing.T, text string) {
		k, err := parseKey(text)
		if err != nil || k.encrypted() {
			return
		}
		if _, err := k.open(never); err == nil && text != string(good) && !strings.HasPrefix(text, keyHeader) {
			t.Errorf("%q was taken", text)
		}
	})
}

func TestWriteNew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := writeNew(path, []byte("one")); err != nil {
		t.Fatal(err)
	}
	if err := writeNew(path, []byte("two")); !errors.Is(err, os.ErrExist) {
		t.Errorf("a second time: %v", err)
	}
	data, err := os.ReadFile(path)
	if err != nil || string(data) != "one" {
		t.Errorf("%q, %v", data, err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != keyMode {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestBackupOpensForItsIdentityAlone(t *testing.T) {
	key := ident.NewKey([32]byte{7})
	n := node.New(key, node.Config{})
	n.Step(1, [32]byte{})
	sealed, no := n.Heads()
	if no != nil {
		t.Fatal(no)
	}
	if _, err := openHeads(key, sealed); err != nil {
		t.Errorf("its own: %v", err)
	}
	if _, err := openHeads(ident.NewKey([32]byte{8}), sealed); err == nil {
		t.Error("another identity opened it")
	}
	for i := range sealed {
		changed := append([]byte{}, sealed...)
		changed[i] ^= 1
		if _, err := openHeads(key, changed); err == nil {
			t.Errorf("a change of byte %d went unnoticed", i)
		}
	}
	if _, err := openHeads(key, sealed[:5]); err == nil {
		t.Error("five bytes are a backup")
	}
}

func TestTellSystemd(t *testing.T) { // sd_notify(3)
	path := filepath.Join(t.TempDir(), "s")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	tellSystemd("READY=1")
	b := make([]byte, 100)
	n, err := conn.Read(b)
	if err != nil || string(b[:n]) != "READY=1" {
		t.Errorf("%q, %v", b[:n], err)
	}
}
