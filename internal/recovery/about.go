package recovery

import (
	"encoding/hex"
	"net/url"
	"strconv"
	"time"

	"forkspan.dev/forkspan/internal/store"
)

// EncodeAbout says in a folder of journals whose they are, should nothing of the run get into the store: where the user wants
// that, and the run's row. It is on the way to the command's start, and so not JSON.
func EncodeAbout(path string, run store.Run) []byte {
	return []byte(url.Values{
		"store": {path}, "id": {run.ID}, "name": {run.Name}, "command": run.Command, "journal": {run.Journal},
		"trace": {hex.EncodeToString(run.TraceID[:])}, "span": {hex.EncodeToString(run.SpanID[:])},
		"parent": {hex.EncodeToString(run.ParentID[:])}, "start": {strconv.FormatInt(run.Start.UnixNano(), 10)},
		"pid": {strconv.Itoa(run.PID)}, "boot": {run.BootID},
	}.Encode())
}

func decodeAbout(text []byte) (path string, run store.Run, ok bool) {
	v, err := url.ParseQuery(string(text))
	if err != nil || v.Get("id") == "" {
		return "", run, false
	}
	run = store.Run{
		ID: v.Get("id"), Kind: "run", Name: v.Get("name"), Command: v["command"], Journal: v.Get("journal"), BootID: v.Get("boot"),
	}
	ok = true
	for name, id := range map[string][]byte{"trace": run.TraceID[:], "span": run.SpanID[:], "parent": run.ParentID[:]} {
		b, err := hex.DecodeString(v.Get(name))
		ok = ok && err == nil && copy(id, b) == len(id)
	}
	start, err1 := strconv.ParseInt(v.Get("start"), 10, 64)
	pid, err2 := strconv.Atoi(v.Get("pid"))
	run.Start, run.PID = time.Unix(0, start), pid
	return v.Get("store"), run, ok && err1 == nil && err2 == nil
}
