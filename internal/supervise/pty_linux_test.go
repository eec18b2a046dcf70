package supervise

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

func init() {
	roles["counter"] = counter
	roles["handler"] = func([]string) { // a command that handles INT
		got := make(chan os.Signal, 1)
		signal.Notify(got, os.Interrupt)
		fmt.Println("up")
		<-got
		os.Exit(3)
	}
}

// counter is a command that counts the signals it gets and tells on the terminal. It ends at "got 64".
func counter([]string) {
	counts := map[os.Signal]int{}
	got := notifyAll()
	fmt.Printf("counting %d %d\n", os.Getpid(), os.Getppid())
	for sig := range got {
		if sig == fence {
			fmt.Printf("counted INT %d QUIT %d TSTP %d WINCH %d CONT %d.\n", counts[unix.SIGINT], counts[unix.SIGQUIT],
				counts[unix.SIGTSTP], counts[unix.SIGWINCH], counts[unix.SIGCONT])
			return
		}
		counts[sig]++
		fmt.Printf("count %s\n", signalName(sig.(syscall.Signal)))
	}
}

// terminal is a shell in a pseudo-terminal.
type terminal struct {
	t     *testing.T
	pty   *os.File
	shell *exec.Cmd

	mu     sync.Mutex
	more   *sync.Cond
	output string // all there was
	seen   int    // what expect has gone past
	closed bool
}

const prompt = "ready> "

// openTerminal starts an interactive shell, in which $RUN starts a supervisor, and waits for its prompt.
func openTerminal(t *testing.T, shell ...string) *terminal {
	t.Helper()
	return openTerminalWith(t, nil, shell...)
}

// openTerminalWith gives the shell further files, from descriptor 3 on.
func openTerminalWith(t *testing.T, files []*os.File, shell ...string) *terminal {
	t.Helper()
	cmd := exec.Command(shell[0], shell[1:]...)
	cmd.ExtraFiles = files
	cmd.Env = append(os.Environ(), "RUN=env "+roleVariable+"=run "+testBinary(t), "BIN="+testBinary(t),
		"PS1="+prompt, "TERM=dumb", "HISTFILE=", "ENV=", "LC_ALL=C")
	// Fewer than most lines, so that nothing is scrolled; wide, so that no line is wrapped.
	started, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 24, Cols: 1000})
	if err != nil {
		t.Fatal(err)
	}
	// The package's own file blocks in Read and could not be closed meanwhile.
	fd, err := unix.FcntlInt(started.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	started.Close()
	if err = unix.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(fd), "pty")
	term := &terminal{t: t, pty: file, shell: cmd}
	term.more = sync.NewCond(&term.mu)
	reading := make(chan struct{})
	go func() {
		defer close(reading)
		buffer := make([]byte, 4096)
		for {
			n, err := file.Read(buffer)
			term.mu.Lock()
			term.output += string(buffer[:n])
			term.closed = err != nil
			term.more.Broadcast()
			term.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	watchdog := time.AfterFunc(patience, func() { file.Close() })
	t.Cleanup(func() {
		watchdog.Stop()
		file.Close() // a hangup for all that is left
		<-reading
		cmd.Wait()
	})
	term.expect(prompt)
	return term
}

// expect waits until text has been shown after what was expected before.
func (term *terminal) expect(text string) string {
	term.t.Helper()
	term.mu.Lock()
	defer term.mu.Unlock()
	for {
		if before, _, ok := strings.Cut(term.output[term.seen:], text); ok {
			term.seen += len(before) + len(text)
			return before
		}
		if term.closed {
			term.t.Fatalf("%q was not shown; all there was:\n%s", text, term.output)
		}
		term.more.Wait()
	}
}

func (term *terminal) typeKeys(keys string) {
	term.t.Helper()
	if _, err := term.pty.WriteString(keys); err != nil {
		term.t.Fatal(err)
	}
}

// enter types a line and waits for its echo.
func (term *terminal) enter(line string) {
	term.t.Helper()
	term.typeKeys(line + "\n")
	term.expect(line + "\r\n")
}

func (term *terminal) resize(rows, columns uint16) {
	term.t.Helper()
	raw, err := term.pty.SyscallConn()
	if err != nil {
		term.t.Fatal(err)
	}
	raw.Control(func(fd uintptr) {
		err = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns})
	})
	if err != nil {
		term.t.Fatal(err)
	}
}

// startCounter runs a counter under a supervisor in the foreground and returns the supervisor's pid.
func (term *terminal) startCounter() int {
	term.t.Helper()
	term.enter("$RUN env " + roleVariable + "=counter $BIN")
	term.expect("counting ")
	var pid, parent int
	if _, err := fmt.Sscan(term.expect("\r\n"), &pid, &parent); err != nil {
		term.t.Fatal(err)
	}
	return parent
}

const (
	ctrlC         = "\x03"
	ctrlD         = "\x04"
	ctrlZ         = "\x1a"
	ctrlBackslash = "\x1c"
)

var shells = map[string][]string{
	"bash": {"bash", "--norc", "--noprofile", "--noediting", "-i"},
	"sh":   {"sh", "-i"},
}

func eachShell(t *testing.T, test func(*testing.T, *terminal)) {
	for name, shell := range shells {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, openTerminal(t, shell...))
		})
	}
}

// What the terminal sends reaches the command once.
func TestTerminalSignalsCountOnce(t *testing.T) {
	eachShell(t, func(t *testing.T, term *terminal) {
		supervisor := term.startCounter()
		term.typeKeys(ctrlC)
		term.expect("count SIGINT")
		term.typeKeys(ctrlBackslash)
		term.expect("count SIGQUIT")
		term.typeKeys(ctrlZ)
		term.expect("count SIGTSTP")
		term.resize(30, 900)
		term.expect("count SIGWINCH")
		syscall.Kill(supervisor, fence)
		term.expect("counted INT 1 QUIT 1 TSTP 1 WINCH 1 CONT 0.")
		term.expect(prompt)
	})
}

// In the background the terminal sends nothing: what comes is meant for the command.
func TestBackgroundGetsSignals(t *testing.T) {
	term := openTerminal(t, shells["bash"]...)
	term.enter("$RUN env " + roleVariable + "=counter $BIN &")
	term.expect("counting ")
	var pid, parent int
	if _, err := fmt.Sscan(term.expect("\r\n"), &pid, &parent); err != nil {
		t.Fatal(err)
	}
	for _, sig := range []syscall.Signal{unix.SIGINT, unix.SIGQUIT, unix.SIGTSTP, unix.SIGWINCH} {
		syscall.Kill(parent, sig)
		term.expect("count " + signalName(sig))
	}
	syscall.Kill(parent, fence)
	term.expect("counted INT 1 QUIT 1 TSTP 1 WINCH 1 CONT 0.")
}

// A loop in the shell stops on Ctrl-C as it does without us, and goes on where the command handles it.
func TestLoopStopsOnInterrupt(t *testing.T) {
	for _, run := range []string{"", "$RUN "} {
		t.Run(run, func(t *testing.T) {
			t.Parallel()
			term := openTerminal(t, shells["bash"]...)
			term.enter(`while :; do ` + run + `sh -c "echo u''p; exec sleep 1000"; echo ag""ain; done`)
			term.interruptLoop("130")

			term.enter(`for i in 1 2; do ` + run + `env ` + roleVariable + `=handler $BIN; echo n""ext $?; done`)
			for range 2 {
				term.expect("up\r\n")
				term.typeKeys(ctrlC)
				term.expect("next 3\r\n")
			}
			term.expect(prompt)
		})
	}
}

// The same for a script, whose shell has no job control and shares our process group.
func TestScriptStopsOnInterrupt(t *testing.T) {
	eachShell(t, func(t *testing.T, term *terminal) {
		term.enter(`sh -c 'while :; do '"$RUN"' sh -c "echo u\p; exec sleep 1000"; echo ag""ain; done'`)
		term.interruptLoop("130")
	})
}

// interruptLoop ends a loop by Ctrl-C once its command is up.
func (term *terminal) interruptLoop(status string) {
	term.t.Helper()
	term.expect("up\r\n")
	term.typeKeys(ctrlC)
	if before := term.expect(prompt); strings.Contains(before, "again") {
		term.t.Errorf("the loop went on: %q", before)
	}
	term.enter(`echo stat""us $?`)
	term.expect("status " + status + "\r\n")
	term.expect(prompt)
}

func TestJobControl(t *testing.T) {
	eachShell(t, func(t *testing.T, term *terminal) {
		term.enter("$RUN sh -c 'echo u\"\"p; exec cat'")
		term.expect("up\r\n")
		term.enter("hello") // read from the terminal
		term.expect("hello\r\n")
		for range 3 {
			term.typeKeys(ctrlZ)
			term.expect("Stopped")
			term.expect(prompt)
			term.enter("fg")
			term.expect("cat") // the shell shows what it continues
			term.enter("again")
			term.expect("again\r\n")
		}
		term.typeKeys(ctrlZ)
		term.expect("Stopped")
		term.expect(prompt)
		term.enter("bg") // it reads the terminal, hence stops again
		term.expect(prompt)
		term.enter("wait; jobs; echo li\"\"sted")
		term.expect("Stopped")
		term.expect("listed")
		term.enter("fg")
		term.enter("once more")
		term.expect("once more\r\n")
		term.typeKeys(ctrlD)
		term.expect(prompt)
		term.enter("echo stat\"\"us $?")
		term.expect("status 0")
	})
}

// When the terminal goes away its HUP reaches the command, which may go on.
func TestHangup(t *testing.T) {
	reportR, reportW := pipe(t)
	stdinR, _ := pipe(t)
	term := openTerminalWith(t, []*os.File{reportW, stdinR}, shells["bash"]...)
	reportW.Close()
	term.enter("$RUN env " + roleVariable + "=probe $BIN <&4 >/dev/null 2>&1")
	report := bufio.NewReader(reportR)
	line, _ := report.ReadString('\n')
	if !strings.HasPrefix(line, "ready ") {
		t.Fatalf("the command reported %q", line)
	}
	term.pty.Close()
	for got := ""; got != "got SIGHUP\n"; {
		var err error
		if got, err = report.ReadString('\n'); err != nil {
			t.Fatal("the command did not get HUP:", err)
		}
	}
}

// A shell as the command has its own jobs: it takes the terminal, and gives it back.
func TestInteractiveShellAsCommand(t *testing.T) {
	term := openTerminal(t, shells["bash"]...)
	term.enter("PS1='inner> ' $RUN " + strings.Join(shells["bash"], " "))
	term.expect("inner> ")
	for _, key := range []string{ctrlC, ctrlZ} {
		term.enter(`sh -c "echo u''p; exec cat"`)
		term.expect("up\r\n")
		term.typeKeys(key)
		term.expect("inner> ")
	}
	term.enter("fg")
	term.expect("cat\"\r\n") // the shell shows what it continues
	term.enter("again")
	term.expect("again\r\n")
	term.typeKeys(ctrlC)
	term.expect("inner> ")
	term.enter("exit 9")
	term.expect(prompt)
	term.enter(`echo stat""us $?`)
	term.expect("status 9\r\n")
}
