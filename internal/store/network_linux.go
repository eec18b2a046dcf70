package store

import "golang.org/x/sys/unix"

// onNetwork reports whether folder lies on a file system whose locks and shared mappings do not hold between machines.
func onNetwork(folder string) bool {
	var stat unix.Statfs_t
	if err := unix.Statfs(folder, &stat); err != nil {
		return false
	}
	const (
		ceph    = 0x00c36400
		lustre  = 0x0bd00bd0
		fuseSSH = unix.FUSE_SUPER_MAGIC // sshfs, gcsfuse, s3fs, rclone …
	)
	switch uint32(stat.Type) {
	case unix.NFS_SUPER_MAGIC, unix.SMB_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC, unix.AFS_SUPER_MAGIC,
		unix.CODA_SUPER_MAGIC, unix.V9FS_MAGIC, ceph, lustre, fuseSSH:
		return true
	}
	return false
}
