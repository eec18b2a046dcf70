package cli

import (
	"testing"
	"time"

	"forkspan.dev/forkspan/internal/store"
)

func TestShortIDs(t *testing.T) {
	runs := []store.Run{{ID: "AAAA111111"}, {ID: "AAAA122222"}, {ID: "BBBB111111"}, {ID: "AAAB111111"}}
	got := shortIDs(runs)
	for id, want := range map[string]string{"AAAA111111": "AAAA11", "AAAA122222": "AAAA12", "BBBB111111": "BBBB", "AAAB111111": "AAAB"} {
		if got[id] != want {
			t.Errorf("%s is shown as %s, want %s", id, got[id], want)
		}
	}
}

func TestRunTitle(t *testing.T) {
	start := time.Unix(1_700_000_000, 0)
	run := store.Run{ID: "7K3F000000", Kind: "run", Name: "vllm", Command: []string{"/usr/bin/vllm", "serve", "m"}, Start: start}
	cut := run
	ended := run
	ended.End, ended.Exit = start.Add(161*time.Second), &store.Exit{Code: 3}
	killed := ended
	killed.Exit = &store.Exit{Code: -1, Signal: 9}
	named := ended
	named.Name = "cold start"
	evil := ended
	evil.Command = []string{"vllm", "\x1b[31m"}
	script := ended
	script.Name, script.Command = "sh", []string{"/bin/sh", "-c", `echo "it's $x"`, "", "[redacted]", "a=b,c:d/e"}
	for _, test := range []struct {
		run  store.Run
		want string
	}{
		{cut, "vllm serve m was cut off, run 7K3F000000"},
		{ended, "vllm serve m exited 3 after 2m41s, run 7K3F000000"},
		{killed, "vllm serve m was ended by SIGKILL after 2m41s, run 7K3F000000"},
		{script, `sh -c 'echo "it'\''s $x"' '' [redacted] a=b,c:d/e exited 3 after 2m41s, run 7K3F000000`},
		{named, "cold start exited 3 after 2m41s, run 7K3F000000"},
		{evil, `vllm \x1b[31m exited 3 after 2m41s, run 7K3F000000`},
		{store.Run{ID: "7K3F000000", Kind: "import", Name: "a.json"}, "a.json imported, run 7K3F000000"},
	} {
		if got := runTitle(test.run); got != test.want {
			t.Errorf("got  %q\nwant %q", got, test.want)
		}
	}
}

func TestAgo(t *testing.T) {
	now := time.Date(2026, 3, 10, 12, 0, 0, 0, time.Local)
	for _, test := range []struct {
		before time.Duration
		want   string
	}{
		{0, "now"}, {59 * time.Second, "59s ago"}, {61 * time.Minute, "1h ago"}, {47 * time.Hour, "47h ago"},
		{72 * time.Hour, "2026-03-07 12:00"}, {-time.Hour, "2026-03-10 13:00"},
	} {
		if got := ago(now, now.Add(-test.before)); got != test.want {
			t.Errorf("%v before: %q, want %q", test.before, got, test.want)
		}
	}
}

func TestAge(t *testing.T) {
	for in, want := range map[string]time.Duration{"90m": 90 * time.Minute, "7d": 168 * time.Hour, "1.5d": 36 * time.Hour, "4w": 672 * time.Hour, "0s": 0} {
		var got age
		if err := got.Set(in); err != nil || time.Duration(got) != want {
			t.Errorf("%s: %v, %v; want %v", in, time.Duration(got), err, want)
		}
	}
	for _, in := range []string{"", "d", "-1d", "-5m", "7", "nan", "nand", "infd", "1e30d", "x"} {
		var got age
		if err := got.Set(in); err == nil {
			t.Errorf("%q is taken as %v", in, time.Duration(got))
		}
	}
}
