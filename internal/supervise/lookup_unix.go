//go:build unix

package supervise

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	statusNotExecutable = 126
	statusNotFound      = 127
)

// defaultPath is searched when PATH is not set: POSIX's path of the standard utilities.
const defaultPath = "/usr/bin:/bin"

// lookup finds the file of the program name as a shell does: the first executable file in PATH; failing that, a file
// that is there and is not executable makes the error.
func lookup(name string, env []string) (string, error) {
	if strings.Contains(name, "/") {
		return name, checkExecutable(name, name)
	}
	var denied error
	if name != "" {
		for dir := range strings.SplitSeq(searchPath(env), ":") {
			if dir == "" {
				dir = "."
			}
			file := dir + "/" + name
			info, err := os.Stat(file)
			if err != nil || info.IsDir() {
				continue
			}
			if err = checkExecutable(name, file); err == nil {
				return file, nil
			}
			if denied == nil {
				denied = err
			}
		}
	}
	if denied != nil {
		return "", denied
	}
	return "", &StartError{statusNotFound, fmt.Errorf("run %q: command not found in PATH", name)}
}

// searchPath is the value of PATH in env; as for a shell, the last one counts.
func searchPath(env []string) string {
	path := defaultPath
	for _, entry := range env {
		if value, ok := strings.CutPrefix(entry, "PATH="); ok {
			path = value
		}
	}
	return path
}

// checkExecutable tells why file, which the user called name, cannot be executed.
func checkExecutable(name, file string) error {
	info, err := os.Stat(file)
	if err != nil {
		return startError(name, file, errnoOf(err))
	}
	if info.IsDir() {
		return &StartError{statusNotExecutable, fmt.Errorf("run %q: is a directory", name)}
	}
	if err := unix.Faccessat(unix.AT_FDCWD, file, unix.X_OK, unix.AT_EACCESS); err != nil {
		return startError(name, file, errnoOf(err))
	}
	return nil
}

func errnoOf(err error) unix.Errno {
	var errno unix.Errno
	errors.As(err, &errno)
	return errno
}

// startError tells why the kernel would not execute file, which the user called name, with the status a shell gives.
func startError(name, file string, errno unix.Errno) error {
	switch errno {
	case unix.ENOENT, unix.ENOTDIR:
		if interpreter := missingInterpreter(file); interpreter != "" {
			return &StartError{statusNotFound, fmt.Errorf("run %q: its interpreter %s is not there: %w", name, interpreter, errno)}
		}
		return &StartError{statusNotFound, fmt.Errorf("run %q: %w", name, errno)}
	case unix.EACCES:
		if info, err := os.Stat(file); err == nil && info.Mode()&0o111 == 0 {
			return &StartError{statusNotExecutable, fmt.Errorf("run %q: %s is not executable: %w", name, file, errno)}
		}
	case unix.ENOEXEC:
		return &StartError{statusNotExecutable, fmt.Errorf("run %q: %w (a program for another system?)", name, errno)}
	}
	return &StartError{statusNotExecutable, fmt.Errorf("run %q: %w", name, errno)}
}

// missingInterpreter names what a file that is there lacks in order to run: the program of its #! line, or for a binary
// its loader. It is empty when file itself is missing.
func missingInterpreter(file string) string {
	if _, err := os.Stat(file); err != nil {
		return ""
	}
	line, _ := firstLine(file)
	if rest, ok := strings.CutPrefix(line, "#!"); ok {
		if fields := strings.Fields(rest); len(fields) > 0 {
			return fields[0]
		}
	}
	return "(the program loader)"
}

// isScript tells whether a file the kernel would not execute is text, which a shell then reads as its own script: as in
// bash, the first line has no NUL byte.
func isScript(file string) bool {
	line, err := firstLine(file)
	return err == nil && !strings.Contains(line, "\x00")
}

// firstLine reads at most the 256 bytes the kernel looks at.
func firstLine(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	head, err := io.ReadAll(io.LimitReader(f, 256))
	if err != nil {
		return "", err
	}
	line, _, _ := bytes.Cut(head, []byte("\n"))
	return string(line), nil
}
