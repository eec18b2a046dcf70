package store

import "golang.org/x/sys/unix"

// onNetwork reports whether folder lies on a file system whose locks and shared mappings do not hold between machines.
func onNetwork(folder string) bool {
	var stat unix.Statfs_t
	if err := unix.Statfs(folder, &stat); err != nil {
		return false
	}
	switch unix.ByteSliceToString(stat.Fstypename[:]) {
	case "nfs", "smbfs", "afpfs", "webdav", "macfuse", "osxfuse":
		return true
	}
	return false
}
