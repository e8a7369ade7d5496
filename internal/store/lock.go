package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// maxHolder bounds what is read of who holds a lock: a program's name and number.
const maxHolder = 200

// Lock takes the lock file at path until it is closed or the process ends, for what is kept beside a store. Errors wrap
// ErrInUse, naming who holds it, if another process does.
func Lock(path string) (io.Closer, error) {
	f, err := lockFile(path)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return f, nil
}

// lockFile opens and locks the file at path and writes into it who holds it. It
// is never removed: another process could be about to lock it.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, fileMode)
	if err != nil {
		return nil, err
	}
	if err := flock(f); err != nil {
		if errors.Is(err, ErrInUse) {
			who, _ := io.ReadAll(io.LimitReader(f, maxHolder)) // best effort: the lock itself is what counts
			err = fmt.Errorf("%w by %s; stop it first", ErrInUse, strings.TrimSpace(string(who)))
		}
		return nil, errors.Join(err, f.Close())
	}
	who := fmt.Sprintf("%s (process %d)\n", filepath.Base(os.Args[0]), os.Getpid())
	if err := f.Truncate(0); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if _, err := f.WriteAt([]byte(who), 0); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
