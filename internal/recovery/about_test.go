package recovery

import (
	"reflect"
	"testing"
	"time"

	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/store"
)

func TestAbout(t *testing.T) {
	run := store.Run{
		ID: "7K3F000000", Kind: "run", Name: "a & b=c\n%", Command: []string{"sh", "", "-c", "echo ü; \xff"}, Journal: "/dev/shm/x",
		TraceID: otlp.TraceID{1}, SpanID: otlp.SpanID{2}, ParentID: otlp.SpanID{3}, Start: time.Unix(17, 4), PID: 12, BootID: "b",
	}
	text := EncodeAbout("/a b/forkspan.db", run)
	path, got, ok := decodeAbout(text)
	if path != "/a b/forkspan.db" || !ok || !reflect.DeepEqual(got, run) {
		t.Errorf("%s, %v: got %+v, want %+v", path, ok, got, run)
	}
	for _, bad := range []string{"", "id=", "id=1&trace=00", "%zz", "{}", string(text[:len(text)/2])} {
		if _, got, ok := decodeAbout([]byte(bad)); ok {
			t.Errorf("%q is a run: %+v", bad, got)
		}
	}
}
