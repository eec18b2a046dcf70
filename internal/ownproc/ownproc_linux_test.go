package ownproc

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

func TestMounted(t *testing.T) {
	if !Mounted("/proc") {
		t.Error("that of this machine is not ours")
	}
	root := t.TempDir()
	if Mounted(root) {
		t.Error("an empty folder is ours")
	}
	if err := os.Symlink(strconv.Itoa(os.Getpid()+1), filepath.Join(root, "self")); err != nil {
		t.Fatal(err)
	}
	if Mounted(root) {
		t.Error("that of another namespace is ours")
	}
}
