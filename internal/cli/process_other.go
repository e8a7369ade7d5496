//go:build !unix

package cli

import "syscall"

// ownGroup: here children are not interrupted with their parent.
func ownGroup() *syscall.SysProcAttr { return nil }
