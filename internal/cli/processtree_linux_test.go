package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sys/unix"

	"forkspan.dev/forkspan"
	"forkspan.dev/forkspan/internal/store"
)

func init() {
	standIns["family"] = family
	standIns["member"] = member
	standIns["idler"] = idler
	standIns["victim"] = victim
	standIns["parent"] = func() error { return startAll([]string{"victim"}) }
}

// family is a process with eight others: it sends a span, as five of them do after some work. Three know nothing of tracing. One
// of the five has a child of its own that sends.
func family() error {
	if err := reportFirstSpan(0); err != nil {
		return err
	}
	return startAll(
		[]string{"member", "0", "10ms"}, []string{"member", "1", "70ms"}, []string{"idler", "--rank=0"},
		[]string{"member", "2", "150ms"}, []string{"idler", "--rank=1", "--password", "hunter2"}, []string{"member", "3", "30ms"},
		[]string{"idler", "--rank=2"}, []string{"member", "4", "100ms", "member", "5", "50ms"},
	)
}

// startAll runs commands side by side; their standard input is open until those that end by themselves have ended.
func startAll(commands ...[]string) error {
	var errs []error
	var waiting []*exec.Cmd
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	for _, argv := range commands {
		cmd := exec.Command(argv[0], argv[1:]...)
		cmd.Stdin, cmd.Stderr = r, os.Stderr
		if err := cmd.Start(); err != nil {
			return err
		}
		waiting = append(waiting, cmd)
	}
	isIdler := func(cmd *exec.Cmd) bool { return filepath.Base(cmd.Path) == "idler" }
	for _, cmd := range waiting {
		if !isIdler(cmd) {
			errs = append(errs, cmd.Wait())
		}
	}
	_ = w.Close()
	_ = r.Close()
	for _, cmd := range waiting {
		if isIdler(cmd) {
			errs = append(errs, cmd.Wait())
		}
	}
	return errors.Join(errs...)
}

// member works for a while before its first span, and says by its own clock how long that took.
func member() error {
	work, err := time.ParseDuration(os.Args[2])
	if err != nil {
		return err
	}
	if err := reportFirstSpan(work); err != nil {
		return err
	}
	if len(os.Args) > 3 {
		return startAll(os.Args[3:])
	}
	return nil
}

// reportFirstSpan sends a span that begins after work, and writes how long after our start that was to a file of our pid.
func reportFirstSpan(work time.Duration) error {
	time.Sleep(work)
	first := time.Now()
	var boot unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot); err != nil {
		return err
	}
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return err
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+2:]))
	ticks, err := strconv.ParseInt(fields[19], 10, 64)
	if err != nil {
		return err
	}
	sinceStart := time.Duration(boot.Nano()) - time.Duration(ticks)*10*time.Millisecond - time.Since(first)
	if err := os.WriteFile("first-"+strconv.Itoa(os.Getpid()), []byte(sinceStart.String()), 0o600); err != nil {
		return err
	}
	provider, err := newProvider("grpc", sdktrace.WithResource(resource.Environment()))
	if err != nil {
		return err
	}
	_, span := provider.Tracer("test").Start(context.Background(), "first", trace.WithTimestamp(first))
	span.End()
	return provider.Shutdown(context.Background())
}

// idler ends with its standard input.
func idler() error {
	_, _ = os.Stdin.Read(make([]byte, 1)) // its end
	return nil
}

// victim is killed in the middle of a span.
func victim() error {
	t, err := forkspan.Init(context.Background(), "victim")
	if err != nil {
		return err
	}
	ctx, _ := t.Start(context.Background(), "long work")
	_, _ = t.Start(ctx, "deep inside")
	return unix.Kill(os.Getpid(), unix.SIGKILL)
}

// watchedRun is a run of a test and what forkspan says of it.
type watchedRun struct {
	t      *testing.T
	dir    string
	env    []string
	stderr string
}

// watch runs a command under forkspan in a folder and with a store of its own.
func watch(t *testing.T, args ...string) *watchedRun {
	t.Helper()
	r := &watchedRun{t: t, dir: t.TempDir()}
	r.env = append(os.Environ(), "HOME="+r.dir, "XDG_STATE_HOME="+r.dir)
	cmd := exec.Command("forkspan", append([]string{"run"}, args...)...)
	cmd.Dir, cmd.Env = r.dir, r.env
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	_ = cmd.Run() // its exit status is the command's
	r.stderr = stderr.String()
	return r
}

// forkspan runs a reading command on the run's store.
func (r *watchedRun) forkspan(args ...string) string {
	r.t.Helper()
	cmd := exec.Command("forkspan", args...)
	cmd.Dir, cmd.Env = r.dir, r.env
	out, err := cmd.Output()
	if err != nil {
		r.t.Fatalf("forkspan %v: %v\nrun: %s", args, err, r.stderr)
	}
	return string(out)
}

// processes are those of `show --processes --json` that count.
func (r *watchedRun) processes() []jsonOSProcess {
	r.t.Helper()
	var doc jsonTree
	if err := json.Unmarshal([]byte(r.forkspan("show", "--processes", "--json")), &doc); err != nil {
		r.t.Fatal(err)
	}
	return slices.DeleteFunc(doc.Tree, func(p jsonOSProcess) bool { return p.Fleeting })
}

// TestTenProcesses wants every process of a tree with how long it took to its first span, and exactly those silent that are.
func TestTenProcesses(t *testing.T) {
	r := watch(t, "family")
	if !strings.Contains(r.stderr, " - 10 processes, 3 silent - 8 spans, ") {
		t.Error("the account does not count 10 processes, 3 silent")
	}
	line := regexp.MustCompile(`(?m)^forkspan: silent: (.*)$`).FindStringSubmatch(r.stderr)
	if line == nil {
		t.Fatalf("no line of silent processes:\n%s", r.stderr)
	}
	names := strings.Split(regexp.MustCompile(` pid \d+`).ReplaceAllString(line[1], ""), ", ")
	slices.Sort(names)
	if want := []string{"idler --rank=0", "idler --rank=1 --password [redacted]", "idler --rank=2"}; !slices.Equal(names, want) {
		t.Errorf("silent: %q, want %q", names, want)
	}
	processes := r.processes()
	if len(processes) != 10 {
		t.Errorf("%d processes", len(processes))
	}
	for _, p := range processes {
		name := strings.Join(p.Command, " ")
		if p.Exit == nil || *p.Exit != (store.Exit{}) {
			t.Errorf("%s: exit %+v", name, p.Exit)
		}
		own, err := os.ReadFile(filepath.Join(r.dir, "first-"+strconv.Itoa(p.PID)))
		if p.Silent {
			if err == nil || !strings.HasPrefix(name, "idler ") {
				t.Errorf("%s is called silent", name)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		want, err := time.ParseDuration(string(own))
		if err != nil {
			t.Fatal(err)
		}
		const tolerance = 20 * time.Millisecond
		if got := time.Duration(p.ToFirstNs); got < want-tolerance || got > want+tolerance {
			t.Errorf("%s: first span after %v, by its own clock after %v", name, got, want)
		}
		if p.Spans != 1 {
			t.Errorf("%s: %d spans", name, p.Spans)
		}
	}
	if t.Failed() {
		t.Log(r.stderr, r.forkspan("show", "--processes", "--all"))
	}
}

// TestForkedSenders wants each span with the process that sent it, though all of them claim to come from the first one.
func TestForkedSenders(t *testing.T) {
	const script = `mkfifo hold
send() {
	body='{"resourceSpans":[{"resource":{"attributes":[{"key":"process.pid","value":{"intValue":"'$$'"}}]},"scopeSpans":[{"spans":[
	{"traceId":"000000000000000000000000000000'$1'","spanId":"00000000000000'$1'","name":"s'$1'","startTimeUnixNano":"'$(date +%s%N)'","endTimeUnixNano":"'$(date +%s%N)'"}]}]}]}'
	hostport=${OTEL_EXPORTER_OTLP_TRACES_ENDPOINT#http://}; hostport=${hostport%/}
	exec 3<>/dev/tcp/${hostport%:*}/${hostport##*:}
	printf 'POST /v1/traces HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s' "$hostport" ${#body} "$body" >&3
	read -r status <&3
	exec 3>&-
	case $status in *200*) ;; *) echo "$status" >&2; exit 1 ;; esac
}
(send 02; send 03; echo $BASHPID >child1; read -r _ <hold) &
(send 04; echo $BASHPID >child2; read -r _ <hold) &
until test -s child1 -a -s child2; do :; done
send 01
exec 4<>hold; echo >&4; echo >&4
wait`
	r := watch(t, "bash", "-c", script)
	spans := map[string]int64{}
	for _, p := range r.processes() {
		if p.Spans > 0 {
			spans[strconv.Itoa(p.PID)] = p.Spans
		}
	}
	for file, want := range map[string]int64{"child1": 2, "child2": 1} {
		pid, err := os.ReadFile(filepath.Join(r.dir, file))
		if err != nil {
			t.Fatal(err, r.stderr)
		}
		if got := spans[strings.TrimSpace(string(pid))]; got != want {
			t.Errorf("%s sent %d spans, want %d", file, got, want)
		}
	}
	if len(spans) != 3 {
		t.Errorf("%d senders, want 3", len(spans))
	}
	if t.Failed() {
		t.Log(r.stderr, r.forkspan("show", "--processes", "--all"))
	}
}

// TestDeathOfAWorker wants an unfinished span to tell how its process died.
func TestDeathOfAWorker(t *testing.T) {
	r := watch(t, "--summary", "parent")
	shown := r.forkspan("show")
	for _, want := range []string{
		`long work unfinished`,
		`started at [0-9.]+m?s, last sign of life at [0-9.]+m?s, process killed by SIGKILL at [0-9.]+m?s`,
		`(?m)^parent killed by SIGKILL, [0-9.]+m?s after its start$`,
	} {
		if !regexp.MustCompile(want).MatchString(shown) {
			t.Errorf("no %q", want)
		}
	}
	if n := strings.Count(shown, "last sign of life"); n != 1 {
		t.Errorf("the death is told %d times", n)
	}
	if table := r.forkspan("show", "--processes", "--errors"); !strings.Contains(table, "killed by SIGKILL") || strings.Contains(table, "exited 0") {
		t.Errorf("--errors lists\n%s", table)
	}
	if filtered := r.forkspan("show", "--process", "VICTIM"); !strings.Contains(filtered, "long work") {
		t.Errorf("--process victim draws\n%s", filtered)
	}
	if t.Failed() {
		t.Logf("%s\n%s", shown, r.stderr)
	}
}

// TestShortProcesses wants a complete account of processes that hardly live, or one that says that it may not be.
func TestShortProcesses(t *testing.T) {
	const rounds = 1000
	r := watch(t, "sh", "-c", fmt.Sprintf("i=0; while test $i -lt %d; do i=$((i+1)); /bin/true; done; otlpchild http done", rounds))
	maybe := strings.Contains(r.stderr, "may be missing")
	whole := strings.Contains(r.stderr, " - 1,002 processes, 1,001 silent - ")
	if !maybe && !whole {
		t.Errorf("the account: %s", r.stderr)
	}
	if len(r.stderr) > 600 {
		t.Errorf("%d bytes of account", len(r.stderr))
	}
	if whole {
		if !regexp.MustCompile(`silent: .*true x[0-9,]+`).MatchString(r.stderr) {
			t.Errorf("the account: %s", r.stderr)
		}
		if table := r.forkspan("show", "--processes"); strings.Count(table, "\n") > 10 || !strings.Contains(table, "true x") {
			t.Errorf("listed as\n%s", table)
		}
		children := 0
		for _, p := range r.processes() {
			if p.Parent != nil && *p.Parent == 0 {
				children++
			}
		}
		if children != rounds+1 {
			t.Errorf("%d children of the shell", children)
		}
	}
}
