//go:build unix

package cli

import "syscall"

// ownGroup keeps an interrupt of the terminal from children: their parent ends them.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
