package forward

import (
	"cmp"
	"context"
	"encoding/base64"
	"net/url"
	"slices"
	"strings"

	"forkspan.dev/forkspan/internal/redact"
)

// leastSecret is the length in bytes below which the value of a header is not looked for in a text: "1" would be everywhere.
const leastSecret = 4

// scrubbing is a transport whose answers and errors can be kept and shown: backends like to repeat the token that they refuse.
type scrubbing struct {
	transport
	secrets []string // longest first
}

// secrets are the values that a backend is sent for it to know us by, and their parts.
func (b *Backend) secrets() (all []string) {
	add := func(value string) {
		if len(value) >= leastSecret {
			all = append(all, value, url.QueryEscape(value))
		}
	}
	for _, value := range b.Headers {
		add(value)
		_, credential, _ := strings.Cut(value, " ") // "Bearer …"
		add(credential)
		if plain, err := base64.StdEncoding.DecodeString(credential); err == nil {
			_, password, _ := strings.Cut(string(plain), ":")
			add(string(plain))
			add(password)
		}
	}
	if u, err := url.Parse(b.Address); err == nil {
		for _, values := range u.Query() {
			for _, value := range values {
				add(value)
			}
		}
	}
	slices.SortFunc(all, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	return slices.Compact(all)
}

func (s *scrubbing) scrub(text string) string {
	for _, secret := range s.secrets {
		text = strings.ReplaceAll(text, secret, redact.Mark)
	}
	return redact.String(text)
}

func (s *scrubbing) send(ctx context.Context, body []byte) (answer, error) {
	a, err := s.transport.send(ctx, body)
	a.message = s.scrub(a.message)
	if err == nil {
		return a, nil
	}
	if text := err.Error(); s.scrub(text) != text {
		f := *judge(err)
		f.err = scrubbed{s.scrub(text), f.err}
		err = &f
	}
	return a, err
}

// scrubbed is an error with a text without secrets.
type scrubbed struct {
	text string
	error
}

func (e scrubbed) Error() string { return e.text }
func (e scrubbed) Unwrap() error { return e.error }
