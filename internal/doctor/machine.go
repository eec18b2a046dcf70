package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"forkspan.dev/forkspan/internal/endpoint"
	"forkspan.dev/forkspan/internal/environ"
	"forkspan.dev/forkspan/internal/peer"
	"forkspan.dev/forkspan/internal/proctree"
	"forkspan.dev/forkspan/internal/store"
)

// Room that is enough, in bytes.
const (
	enoughDisk = 256 << 20 // for a store
	enoughShm  = 1 << 30   // for journals, in memory
)

// examineStore looks at the store without changing it.
func (d *examination) examineStore(ctx context.Context) {
	if d.Store == "" {
		return
	}
	h, err := store.Inspect(ctx, d.Store)
	folder := filepath.Dir(d.Store)
	switch {
	case err != nil:
		d.add(Store, "store-unreadable", Problem, cause2(err)+" ("+d.Store+")", "--db FILE or FORKSPAN_DB puts the store elsewhere")
		return
	case h.Network:
		d.add(Store, "store-network", Warning, folder+" is on a network file system: the store is kept in the temporary folder instead",
			"--db FILE or FORKSPAN_DB on a local disk")
	}
	if err := writable(d.Store); err != nil {
		d.add(Store, "store-unwritable", Problem, fmt.Sprintf("the store cannot be written: %s (%s)", cause(err), d.Store),
			"correct the rights, or put the store elsewhere: --db FILE or FORKSPAN_DB")
	}
	switch {
	case h.Missing:
		d.add(Store, "store", Info, "there is no store yet: "+d.Store, "")
	case h.Damage != "":
		d.add(Store, "store-damaged", Problem, fmt.Sprintf("the store is damaged: %s (%s)", firstLine(h.Damage), d.Store),
			"the next command that opens it moves it aside and begins a new one")
	case h.Schema > h.Known:
		d.add(Store, "store-newer", Problem, "a newer forkspan has written the store: "+d.Store, "update this one, or use another store: --db FILE")
	default:
		read := ""
		if !h.Complete {
			read = ", not read through in the time"
		}
		d.add(Store, "store", OK, fmt.Sprintf("%s: %s, %s, schema %d%s", d.Store, runs(h.Runs), size(h.Bytes), h.Schema, read), "")
	}
	if h.Waiting > 0 {
		d.add(Store, "forward-waiting", Info, fmt.Sprintf("%d requests wait to be passed on to a backend", h.Waiting), "forkspan forward sends them")
	}
	if h.Dead > 0 {
		d.add(Store, "forward-dead", Warning, fmt.Sprintf("%d requests were refused by a backend for good", h.Dead), "forkspan forward --help says how to see them and send them again")
	}
	if free, ok := freeBytes(existing(folder)); ok && free < enoughDisk {
		d.add(Store, "disk-full", Warning, fmt.Sprintf("the disk of the store has %s left", size(free)), "forkspan rm --older-than 7d frees some")
	}
}

// writable tries what may be done to the file, or in the folder it would be made in.
func writable(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err == nil {
		err = f.Close()
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	made, tryErr := os.MkdirTemp(existing(filepath.Dir(path)), ".forkspan-")
	if tryErr != nil {
		return tryErr
	}
	if err != nil && errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, os.Remove(made))
}

// existing is a folder, or the nearest above it that is there.
func existing(folder string) string {
	for folder != filepath.Dir(folder) {
		if _, err := os.Stat(folder); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		folder = filepath.Dir(folder)
	}
	return folder
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(strings.TrimPrefix(s, "*** in database main ***\n"), "\n")
	return s
}

// cause2 is an error without the words that were put before it twice.
func cause2(err error) string { return strings.TrimPrefix(shown(err.Error()), "inspect store: ") }

// runs is a number of runs in words.
func runs(n int64) string {
	if n == 1 {
		return "1 run"
	}
	return strconv.FormatInt(n, 10) + " runs"
}

// size is a number of bytes in words.
func size(n int64) string {
	const unit = 1024
	if n < unit*unit {
		return fmt.Sprintf("%d KiB", (n+unit-1)/unit)
	}
	if n < unit*unit*unit {
		return fmt.Sprintf("%.1f MiB", float64(n)/(unit*unit))
	}
	return fmt.Sprintf("%.1f GiB", float64(n)/(unit*unit*unit))
}

// examineMachine looks at what forkspan itself needs.
func (d *examination) examineMachine(ctx context.Context) {
	d.add(Machine, "version", Info, fmt.Sprintf("forkspan %s, %s, %s/%s", d.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH), "")
	if id, _ := d.env.lookup(environ.RunVariable); id != "" {
		d.add(Machine, "run", Info, "this is inside the run "+shown(id)+": spans go to it", "")
	}
	d.examineWatching()
	if free, ok := freeBytes("/dev/shm"); ok && free < enoughShm {
		d.add(Machine, "shm-small", Info, fmt.Sprintf("/dev/shm has %s left: journals of runs go to the temporary folder, which is slower", size(free)),
			"in a container: --shm-size 2g, or an emptyDir of medium Memory at /dev/shm")
	}
	for _, port := range []string{endpoint.PortGRPC, endpoint.PortHTTP} {
		d.examinePort(ctx, port)
	}
}

// examineWatching tells how the processes of a run are followed on this machine.
func (d *examination) examineWatching() {
	w := proctree.New(proctree.Options{})
	w.Follow(os.Getpid())
	w.Stop() // what it says before it has begun is no answer
	c := w.Coverage()
	switch {
	case c.Unwatched:
		d.add(Machine, "processes", Info, "the processes below a run cannot be watched on this system: only the command itself is known", "")
	case c.Events:
		d.add(Machine, "processes", OK, "the kernel tells of every process of a run", "")
	default:
		d.add(Machine, "processes", Info, "processes of a run are looked for again and again: very short-lived ones may be missed",
			"with the capabilities NET_ADMIN or PERFMON the kernel tells of every one")
	}
}

// examinePort tells who listens at a standard port of this machine.
func (d *examination) examinePort(ctx context.Context, port string) {
	ctx, cancel := part(ctx, 4)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", port))
	if err != nil {
		return // free, or not ours to know
	}
	defer conn.Close()
	who := "another program"
	if pid, ok := peer.PID(conn.LocalAddr(), conn.RemoteAddr()); ok {
		who = "pid " + strconv.Itoa(pid)
		if name, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/comm"); err == nil {
			who = strings.TrimSpace(string(name)) + " (" + who + ")"
		}
	}
	d.add(Machine, "port-"+port, Info, fmt.Sprintf("port %s of this machine is taken by %s", port, shown(who)), "")
}
