package main

import (
	"os"
	"syscall"
)

// syncData waits until the content of f is on disk.
func syncData(f *os.File) error { return syscall.Fdatasync(int(f.Fd())) }
