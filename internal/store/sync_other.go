//go:build !linux

package store

import "os"

// syncData waits until the content of f is on disk.
func syncData(f *os.File) error { return f.Sync() }
