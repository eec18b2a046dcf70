package store

import (
	"path/filepath"

	"golang.org/x/sys/windows"
)

// onNetwork reports whether folder lies on a network drive or share.
func onNetwork(folder string) bool {
	root, err := windows.UTF16PtrFromString(filepath.VolumeName(folder) + `\`)
	return err == nil && windows.GetDriveType(root) == windows.DRIVE_REMOTE
}
