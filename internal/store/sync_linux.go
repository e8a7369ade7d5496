package store

import (
	"os"
	"syscall"
)

// syncData waits until the content of f is on disk. Unlike f.Sync it does not
// wait for the file's times.
func syncData(f *os.File) error {
	for {
		if err := syscall.Fdatasync(int(f.Fd())); err != syscall.EINTR {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}
