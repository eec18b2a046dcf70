package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/store"
)

func init() {
	helpers["full disk"] = fullDisk
	helpers["read-only folder"] = readOnlyFolder
}

// privately starts a helper in a mount namespace of its own, so that what it mounts is gone with it; a user who may not mount
// becomes root in a user namespace for that.
func privately(t *testing.T, job, dir string) {
	t.Helper()
	attr := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if os.Getuid() != 0 {
		attr.Cloneflags |= syscall.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	cmd := helper(job, dir)
	cmd.Stderr = nil
	cmd.SysProcAttr = attr
	out, err := cmd.CombinedOutput()
	if failed := (*exec.ExitError)(nil); err != nil && !errors.As(err, &failed) {
		// No namespaces here (a container): the helper makes do without mounting.
		cmd = helper(job, dir, "no mounts")
		cmd.Stderr = nil
		out, err = cmd.CombinedOutput()
	}
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestFullDisk(t *testing.T)       { privately(t, "full disk", t.TempDir()) }
func TestReadOnlyFolder(t *testing.T) { privately(t, "read-only folder", t.TempDir()) }

// fullDisk stores requests on a file system of 3 MiB until there is no room: a clear error, and all that was acknowledged is
// there when there is room again. Without mounts, a limit on the size of files stands in.
func fullDisk(args []string) error {
	dir := args[0]
	ctx := context.Background()
	makeRoom := func() error { return os.Remove(filepath.Join(dir, "ballast")) }
	if len(args) == 1 {
		if err := mount("tmpfs", dir, "tmpfs", 0, "size=3m"); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, "ballast"), make([]byte, 1<<20), 0o600); err != nil {
			return err
		}
	} else {
		signal.Ignore(syscall.SIGXFSZ)
		limit := unix.Rlimit{Cur: 1 << 20, Max: unix.RLIM_INFINITY}
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
			return err
		}
		makeRoom = func() error {
			limit.Cur = unix.RLIM_INFINITY
			return unix.Setrlimit(unix.RLIMIT_FSIZE, &limit)
		}
	}
	path := filepath.Join(dir, "forkspan.db")
	s, err := store.Open(ctx, path, store.Options{})
	if err != nil {
		return err
	}
	var acknowledged []otlp.TraceID
	var full error
	for full == nil {
		id := randomTrace()
		_, sum, _, _, err := otlp.Scan(request(200, id))
		if err != nil {
			return err
		}
		if full = s.Append(ctx, "R", request(200, id), sum); full == nil {
			acknowledged = append(acknowledged, id)
		}
	}
	if !strings.Contains(full.Error(), "disk") {
		return fmt.Errorf("unclear error: %w", full)
	}
	// What was acknowledged can be read while the disk is full, and after the process has ended.
	if err := check(s, acknowledged); err != nil {
		return err
	}
	if err := s.Close(); err != nil {
		return err
	}
	if len(args) == 1 {
		// A second store finds no room at all.
		if err := fill(filepath.Join(dir, "more")); err != nil {
			return err
		}
		if other, err := store.Open(ctx, filepath.Join(dir, "other.db"), store.Options{}); err == nil {
			return errors.Join(errors.New("opened a store on a full disk"), other.Close())
		} else if !strings.Contains(err.Error(), "space") {
			return fmt.Errorf("unclear error: %w", err)
		}
		if err := os.Remove(filepath.Join(dir, "more")); err != nil {
			return err
		}
	}
	if err := makeRoom(); err != nil {
		return err
	}
	if s, err = store.Open(ctx, path, store.Options{}); err != nil {
		return err
	}
	if err := check(s, acknowledged); err != nil {
		return err
	}
	id := randomTrace()
	_, sum, _, _, err := otlp.Scan(request(1, id))
	if err == nil {
		err = s.Append(ctx, "R", request(1, id), sum)
	}
	if err == nil {
		err = check(s, []otlp.TraceID{id})
	}
	return errors.Join(err, s.Close())
}

// check reports an error unless each trace is there.
func check(s *store.Store, traces []otlp.TraceID) error {
	for _, id := range traces {
		found := false
		for _, err := range s.Trace(context.Background(), id) {
			if err != nil {
				return err
			}
			found = true
		}
		if !found {
			return fmt.Errorf("trace %x of %d is lost", id, len(traces))
		}
	}
	return nil
}

// fill writes until there is no room.
func fill(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		return err
	}
	return f.Close()
}

// readOnlyFolder opens a store in a folder that cannot be written to. Without mounts, the folder's permissions stand in.
func readOnlyFolder(args []string) error {
	dir := args[0]
	ctx := context.Background()
	path := filepath.Join(dir, "forkspan.db")
	s, err := store.Open(ctx, path, store.Options{})
	if err != nil {
		return err
	}
	if err := s.Close(); err != nil {
		return err
	}
	if len(args) == 1 {
		err = errors.Join(mount(dir, dir, "", syscall.MS_BIND, ""),
			mount("", dir, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, ""))
	} else {
		err = os.Chmod(dir, 0o500)
		defer func() { _ = os.Chmod(dir, 0o700) }()
	}
	if err != nil {
		return err
	}
	before, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for _, file := range []string{path, filepath.Join(dir, "new.db"), filepath.Join(dir, "folder", "new.db")} {
		s, err := store.Open(ctx, file, store.Options{})
		if err == nil {
			return errors.Join(fmt.Errorf("opened %s in a read-only folder", file), s.Close())
		}
		if !errors.Is(err, syscall.EROFS) && !errors.Is(err, syscall.EACCES) {
			return fmt.Errorf("unclear error: %w", err)
		}
	}
	after, err := os.ReadFile(path)
	if err == nil && !bytes.Equal(before, after) {
		err = errors.New("the file was changed")
	}
	return err
}

// mount mounts without letting it show outside.
func mount(source, target, kind string, flags uintptr, data string) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount(source, target, kind, flags, data); err != nil {
		return fmt.Errorf("mount %s: %w", target, err)
	}
	return nil
}
