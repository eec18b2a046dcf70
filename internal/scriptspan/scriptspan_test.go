package scriptspan

import (
	"os/exec"
	"reflect"
	"strings"
	"testing"
	"time"

	"forkspan.dev/forkspan/internal/commandspan"
	"forkspan.dev/forkspan/internal/otlp"
)

func TestParseTime(t *testing.T) {
	now := time.Date(2026, 3, 4, 5, 6, 7, 8, time.UTC)
	for _, test := range []struct {
		text string
		want string // RFC 3339; empty for an error
	}{
		{"now", "2026-03-04T05:06:07.000000008Z"},
		{"-5s", "2026-03-04T05:06:02.000000008Z"},
		{"-1h30m", "2026-03-04T03:36:07.000000008Z"},
		{"+250ms", "2026-03-04T05:06:07.250000008Z"},
		{"2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"},
		{"2026-01-02T03:04:05.123456789+01:00", "2026-01-02T02:04:05.123456789Z"},
		{"2026-01-02 03:04:05.5+00:00", "2026-01-02T03:04:05.5Z"},
		{"1767323045", "2026-01-02T03:04:05Z"},
		{"1767323045.25", "2026-01-02T03:04:05.25Z"},
		{"1767323045.123456789", "2026-01-02T03:04:05.123456789Z"},
		{"1767323045123", "2026-01-02T03:04:05.123Z"},
		{"1767323045123456", "2026-01-02T03:04:05.123456Z"},
		{"1767323045123456789", "2026-01-02T03:04:05.123456789Z"},
		{" 1767323045\n", "2026-01-02T03:04:05Z"},
		{"", ""}, {"-5", ""}, {"-", ""}, {"--5s", ""}, {"tomorrow", ""}, {"0", ""}, {"1969-12-31T23:59:59Z", ""},
		{"1767323045.", ""}, {".5", ""}, {"1.2.3", ""}, {"1767323045123.5", ""}, {"99999999999999999999", ""},
		{"2500-01-01T00:00:00Z", ""}, {"-900000h", ""}, {"2026-01-02", ""},
	} {
		got, err := ParseTime(test.text, now)
		if test.want == "" {
			if err == nil {
				t.Errorf("%q: %s, want an error", test.text, got)
			}
			continue
		}
		if err != nil || got.UTC().Format(time.RFC3339Nano) != test.want {
			t.Errorf("%q: %s, %v, want %s", test.text, got.UTC().Format(time.RFC3339Nano), err, test.want)
		}
	}
}

// What is read as a time is one that spans can have, and RFC 3339 of it is read as the same.
func FuzzParseTime(f *testing.F) {
	for _, text := range []string{"now", "-5s", "1767323045.25", "2026-01-02 03:04:05.5+00:00", "1767323045123456789"} {
		f.Add(text)
	}
	now := time.Unix(1767323045, 0)
	f.Fuzz(func(t *testing.T, text string) {
		got, err := ParseTime(text, now)
		if err != nil {
			return
		}
		if got.UnixNano() <= 0 {
			t.Fatalf("%q: %d", text, got.UnixNano())
		}
		again, err := ParseTime(got.Format(time.RFC3339Nano), now)
		if err != nil || !again.Equal(got) {
			t.Fatalf("%q: %s is read as %s, %v", text, got, again, err)
		}
	})
}

func TestParseAttribute(t *testing.T) {
	for _, test := range []struct {
		text string
		want otlp.Field // no key for an error
	}{
		{"a=b", otlp.Field{Key: "a", Value: "b"}},
		{"a=", otlp.Field{Key: "a", Value: ""}},
		{"a=b=c", otlp.Field{Key: "a", Value: "b=c"}},
		{"a=5", otlp.Field{Key: "a", Value: "5"}},
		{"a:=5", otlp.Field{Key: "a", Value: int64(5)}},
		{"a:=-0.5", otlp.Field{Key: "a", Value: -0.5}},
		{"a:=1e3", otlp.Field{Key: "a", Value: 1000.0}},
		{"a:=true", otlp.Field{Key: "a", Value: true}},
		{`a:="x"`, otlp.Field{Key: "a", Value: "x"}},
		{`a:=[1, "x", false]`, otlp.Field{Key: "a", Value: []any{int64(1), "x", false}}},
		{"a:b=c", otlp.Field{Key: "a:b", Value: "c"}},
		{"api_key=hunter2", otlp.Field{Key: "api_key", Value: "[redacted]"}},
		{"api_key:=42", otlp.Field{Key: "api_key", Value: "[redacted]"}},
		{"url=https://u:hunter2@h/", otlp.Field{Key: "url", Value: "https://[redacted]@h/"}},
		{"a=\xff", otlp.Field{Key: "a", Value: "\uFFFD"}},
		{"a", otlp.Field{}}, {"=b", otlp.Field{}}, {":=1", otlp.Field{}}, {"a:=", otlp.Field{}}, {"a:=nope", otlp.Field{}},
		{"a:=null", otlp.Field{}}, {`a:={"b":1}`, otlp.Field{}}, {"a:=[[1]]", otlp.Field{}}, {"a:=1 2", otlp.Field{}}, {"a:=1e999", otlp.Field{}},
	} {
		got, err := ParseAttribute(test.text)
		if (err != nil) != (test.want.Key == "") || err == nil && !reflect.DeepEqual(got, test.want) {
			t.Errorf("%q: %#v, %v, want %#v", test.text, got, err, test.want)
		}
	}
	got, err := ParseAttributes([]string{"a=1", "b=2", "a=3"})
	if err != nil || !reflect.DeepEqual(got, []otlp.Field{{Key: "a", Value: "3"}, {Key: "b", Value: "2"}}) {
		t.Errorf("%v, %v", got, err)
	}
}

// The ids of a seed are the same everywhere and for ever: users write them down.
func TestSeedIDs(t *testing.T) {
	sc, err := ParseParent("seed:1234-1")
	if err != nil {
		t.Fatal(err)
	}
	traceID, spanID := SeedIDs("1234-1")
	if otlp.TraceID(sc.TraceID()) != traceID || otlp.SpanID(sc.SpanID()) != spanID {
		t.Error("the parent is not the span of the seed")
	}
	if got, want := sc.TraceID().String()+"-"+sc.SpanID().String(), "163c43b5c50deaf2e2608e829288ad48-0e0212775c471417"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestParseParent(t *testing.T) {
	const good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
	if sc, err := ParseParent(good); err != nil || sc.IsSampled() || sc.SpanID().String() != "b7ad6b7169203331" {
		t.Errorf("%v, %v", sc, err)
	}
	for _, bad := range []string{
		"", "seed:", "x", strings.ToUpper(good), good[:54], "00-00000000000000000000000000000000-b7ad6b7169203331-01",
		good + "-x", "ff" + good[2:],
	} {
		if sc, err := ParseParent(bad); err == nil {
			t.Errorf("%q: %v, want an error", bad, sc)
		}
	}
}

func TestStateRoundTrip(t *testing.T) {
	want := &Span{
		Span: commandspan.Span{
			TraceID: otlp.TraceID{1}, SpanID: otlp.SpanID{2}, ParentID: otlp.SpanID{3}, TraceState: "a=1", Remote: true, Sampled: true,
			Name: "build", Start: 5, Kind: otlp.KindClient, Attributes: []otlp.Field{{Key: "n", Value: int64(1)}, {Key: "f", Value: 0.5}},
			Events: []otlp.Event{{Time: 6, Name: "e", Attributes: []otlp.Field{{Key: "b", Value: true}}}},
			Links:  []otlp.Link{{TraceID: otlp.TraceID{4}, SpanID: otlp.SpanID{5}}},
		},
		Resource: []otlp.Field{{Key: "service.name", Value: "s"}}, Run: "0123456789", HostPort: "127.0.0.1:1",
		Before: []Variable{{Name: "TRACEPARENT", Value: "x", Set: true}, {Name: "traceparent"}},
	}
	got, err := Open(want.State())
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v, %v\nwant %+v", got, err, want)
	}
	for _, bad := range []string{"", "{}", `{"request":"AAAA"}`, "null"} {
		if _, err := Open([]byte(bad)); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

// A shell reads what Shell writes, whatever is in it.
func TestShell(t *testing.T) {
	nasty := `a'b"c $(touch x) ` + "`id`" + ` \ ; & *`
	script := Shell([]Variable{{Name: "A", Value: nasty, Set: true}, {Name: "B"}}) + `printf '%s|%s' "$A" "${B-none}"`
	out, err := exec.Command("sh", "-c", "B=1; export B\n"+script).CombinedOutput()
	if err != nil || string(out) != nasty+"|none" {
		t.Errorf("%q, %v", out, err)
	}
}

// In fish a backslash at the end of a quoted text would make commands of the next line's.
func TestShellKeepsBackslashesOutOfQuotes(t *testing.T) {
	if got, want := Shell([]Variable{{Name: "A", Value: `a\b\`, Set: true}}), `export A='a'\\'b'\\''`+"\n"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestCurrentDropsWhatIsNoContext(t *testing.T) {
	environ := map[string]string{"TRACEPARENT": "x\nPATH=/evil", "tracestate": "a=1", "FORKSPAN_SPAN": ""}
	got := Current(func(name string) (string, bool) { v, ok := environ[name]; return v, ok })
	if s := Lines(got); strings.Contains(s, "PATH") || !strings.Contains(s, "tracestate=a=1\n") {
		t.Errorf("%q", s)
	}
	if s := Shell(got); !strings.Contains(s, "unset TRACEPARENT\n") || !strings.Contains(s, "export FORKSPAN_SPAN=''\n") {
		t.Errorf("%q", s)
	}
}
