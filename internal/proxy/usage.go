package proxy

import (
	"bytes"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"strings"
	"sync"

	"forkspan.dev/forkspan/genai"
)

// usageAsker asks for usage on streams, on behalf of clients that do not, and takes it out again. A server that answers 400
// is asked again as the client did, and when it then answers otherwise it is not asked for usage on that path any more.
type usageAsker struct {
	next    http.RoundTripper
	refused sync.Map // path → struct{}
}

// RoundTrip sends r, with the wish for usage where the client has none.
func (u *usageAsker) RoundTrip(r *http.Request) (*http.Response, error) {
	if !u.applies(r) {
		return u.next.RoundTrip(r)
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, genai.MaxRequestBody))
	if err != nil {
		_ = r.Body.Close()
		return nil, err
	}
	asking, ok := addUsage(body)
	if !ok {
		out := r.WithContext(r.Context())
		out.Body = rest{io.MultiReader(bytes.NewReader(body), r.Body), r.Body}
		return u.next.RoundTrip(out)
	}
	_ = r.Body.Close() // it is all there: a JSON value does not end before the body

	ask := withBody(r, asking)
	ask.Header.Del("Accept-Encoding") // or the event cannot be taken out
	res, err := u.next.RoundTrip(ask)
	switch {
	case err != nil:
		return res, err
	case res.StatusCode == http.StatusBadRequest:
		return u.again(r, body, res)
	case isEventStream(res.Header) && res.Header.Get("Content-Encoding") == "":
		res.Body = &usageFilter{src: res.Body}
		res.Header.Del("Content-Length")
		res.ContentLength = -1
	}
	return res, nil
}

func (u *usageAsker) applies(r *http.Request) bool {
	switch genai.DetectAPI(r.Method, r.URL.Path) {
	case genai.APIChat, genai.APICompletions:
	default:
		return false
	}
	_, refused := u.refused.Load(r.URL.Path)
	return !refused && r.Body != nil && r.Body != http.NoBody && r.Header.Get("Content-Encoding") == ""
}

// again sends what the client sent, and remembers when that pleased the server better.
func (u *usageAsker) again(r *http.Request, body []byte, refusal *http.Response) (*http.Response, error) {
	_, _ = io.CopyN(io.Discard, refusal.Body, maxRefusal) // or the connection is lost
	_ = refusal.Body.Close()
	res, err := u.next.RoundTrip(withBody(r, body))
	if err == nil && res.StatusCode != http.StatusBadRequest {
		u.refused.Store(r.URL.Path, struct{}{})
	}
	return res, err
}

const maxRefusal = 64 << 10

// rest is a body of which a part was read.
type rest struct {
	io.Reader
	io.Closer
}

func withBody(r *http.Request, body []byte) *http.Request {
	out := r.Clone(r.Context())
	out.Body = io.NopCloser(bytes.NewReader(body))
	out.ContentLength = int64(len(body))
	out.TransferEncoding = nil
	return out
}

func isEventStream(h http.Header) bool {
	kind, _, _ := mime.ParseMediaType(h.Get("Content-Type"))
	return strings.EqualFold(kind, "text/event-stream")
}

// addUsage returns the body of a streaming request with stream_options.include_usage set, and every other byte as it was. It
// returns false where that is not wanted or not possible: no stream, usage asked for already, no JSON object.
func addUsage(body []byte) ([]byte, bool) {
	object, ok := scanObject(body)
	if !ok || string(object["stream"].raw) != "true" {
		return nil, false
	}
	options, found := object["stream_options"]
	if !found {
		return object.insert(body, `"stream_options":{"include_usage":true}`), true
	}
	if string(options.raw) == "null" {
		return splice(body, options, `{"include_usage":true}`), true
	}
	inner, ok := scanObject(options.raw)
	if !ok {
		return nil, false
	}
	wish, found := inner["include_usage"]
	switch {
	case !found:
		return splice(body, options, string(inner.insert(options.raw, `"include_usage":true`))), true
	case string(wish.raw) == "true":
		return nil, false
	}
	return splice(body, options, string(splice(options.raw, wish, "true"))), true
}

// member is the value of a member of a JSON object, and where it begins.
type member struct {
	raw []byte
	at  int
}

// members are those of one object. Of repeated names the last counts, as it does for the servers.
type members map[string]member

// scanObject finds the members of the object that text is.
func scanObject(text []byte) (members, bool) {
	d := json.NewDecoder(bytes.NewReader(text))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, false
	}
	found := members{}
	for d.More() {
		t, err := d.Token()
		name, ok := t.(string)
		var raw json.RawMessage
		if err != nil || !ok || d.Decode(&raw) != nil {
			return nil, false
		}
		found[name] = member{raw: raw, at: int(d.InputOffset()) - len(raw)}
	}
	if _, err := d.Token(); err != nil {
		return nil, false
	}
	return found, len(bytes.TrimSpace(text[d.InputOffset():])) == 0
}

// insert adds a member at the end of the object that text is.
func (m members) insert(text []byte, added string) []byte {
	if len(m) > 0 {
		added = "," + added
	}
	end := bytes.LastIndexByte(text, '}')
	return splice(text, member{at: end}, added)
}

// splice returns text with other in place of m.
func splice(text []byte, m member, other string) []byte {
	out := make([]byte, 0, len(text)+len(other))
	out = append(out, text[:m.at]...)
	out = append(out, other...)
	return append(out, text[m.at+len(m.raw):]...)
}
