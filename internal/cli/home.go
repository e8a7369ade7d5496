package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/BurntSushi/toml"

	"kula/internal/api"
	"kula/wire"
)

// Files of a home, next to the node's own (the store, api.json).
const (
	configFile = "config.toml"
	keyFile    = "key"
)

// config is config.toml; every member is a setting that a flag or the environment overrides.
type config struct {
	Name       string   `toml:"name"`
	Listen     []string `toml:"listen"`
	API        string   `toml:"api"`
	Index      []string `toml:"index"`
	Mirror     bool     `toml:"mirror"`
	Relay      []string `toml:"relay"`
	Find       []string `toml:"find"`
	Passphrase string   `toml:"passphrase-file"`
}

// homeDir is the directory of the identity; it need not exist.
func (a *app) homeDir() (string, error) {
	dir := a.home
	if dir == "" {
		dir = os.Getenv("KULA_HOME")
	}
	if dir == "" {
		if dir = os.Getenv("XDG_DATA_HOME"); dir == "" {
			user, err := os.UserHomeDir()
			if err != nil {
				return "", fmt.Errorf("no home directory (%w): say --home DIR", err)
			}
			dir = filepath.Join(user, ".local", "share")
		}
		dir = filepath.Join(dir, "kula")
	}
	return filepath.Abs(dir)
}

// settings reads config.toml; none is an empty one.
func (a *app) settings() (*config, error) {
	if a.config != nil {
		return a.config, nil
	}
	dir, err := a.homeDir()
	if err != nil {
		return nil, err
	}
	c := &config{}
	path := filepath.Join(dir, configFile)
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	meta, err := toml.Decode(string(data), c)
	if err != nil {
		return nil, wrong("%s: %v", path, err)
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		return nil, wrong("%s: there is no setting %q; there are name, listen, api, index, mirror, relay, find, passphrase-file", path, unknown[0])
	}
	a.config = c
	return c, nil
}

// setting picks a text: the flag's, else the environment's, else the file's, else the default.
func setting(flag, env, file, otherwise string) string {
	for _, s := range []string{flag, os.Getenv(env), file} {
		if s != "" {
			return s
		}
	}
	return otherwise
}

// settingList is setting for lists; in the environment they are separated by spaces.
func settingList(flag []string, env string, file, otherwise []string) []string {
	for _, l := range [][]string{flag, strings.Fields(os.Getenv(env)), file} {
		if len(l) > 0 {
			return l
		}
	}
	return otherwise
}

// client connects to the running node.
func (a *app) client() (*api.Client, error) {
	dir, err := a.homeDir()
	if err != nil {
		return nil, err
	}
	e, err := api.ReadEndpoint(dir)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(filepath.Join(dir, keyFile)); errors.Is(err, fs.ErrNotExist) {
			return nil, refuse(wire.NodeNotRunning, "no node runs for %s, and there is no identity in it. Make one with: kula init. Then run it with: kula up", dir)
		}
		return nil, refuse(wire.NodeNotRunning, "no node runs for %s. Start it with: kula up", dir)
	}
	if err != nil {
		return nil, err
	}
	return api.NewClient(e.API, e.Token), nil
}

// readInput reads a small file of the user, or standard input for "-".
func (a *app) readInput(path string) (string, error) {
	if path == "-" {
		return readAll(a.in)
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	return readAll(f)
}
