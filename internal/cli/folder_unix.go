//go:build unix

package cli

import "golang.org/x/sys/unix"

// writableFolder tells whether we may make files in the folder at path. A file is no such folder.
func writableFolder(path string) bool { return unix.Access(path+"/.", unix.W_OK|unix.X_OK) == nil }
