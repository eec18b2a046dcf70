package genaihttp_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	fst "forkspan.dev/forkspan/forkspantest"
)

// TestNothingSecretIsRecorded seeds words into everything that passes, and looks for them in the spans.
func TestNothingSecretIsRecorded(t *testing.T) {
	const (
		prompt = "xylophone-prompt"
		answer = "zeppelin-answer"
		key    = "sk-quokka0123456789abcdef"
	)
	for _, k := range []kind{both, middlewareOnly, transportOnly} {
		c := newChain(t, k)
		c.upstream.Reply(fst.ChatStream(answer), fst.Chat(answer), fst.ErrorReply(400, "bad prompt: "+prompt),
			fst.Reply{Steps: []fst.Step{fst.Role(), fst.Reasoning(answer), fst.ToolCall("f"), fst.ToolArguments(answer), fst.Cut()}},
			fst.Reply{Steps: []fst.Step{fst.Send(answer)}, Header: http.Header{"X-Secret": {key}}})
		body := fmt.Sprintf(`{"model":"fake-model","stream":true,"messages":[{"role":"user","content":%q}],"api_key":%q}`, prompt, key)
		for _, path := range []string{chatPath, chatPath, chatPath, chatPath, "/other/" + key} {
			r := c.request(patient(t), t, path+"?key="+key+"&prompt="+prompt, body)
			r.Header.Set("Authorization", "Bearer "+key)
			r.Header.Set("X-Api-Key", key)
			r.Header.Set("User-Agent", "agent "+key)
			res, err := c.client.Do(r)
			if err == nil {
				_, _ = io.Copy(io.Discard, res.Body)
				res.Body.Close()
			}
		}
		want := 5
		if k == both {
			want = 10
		}
		for _, s := range c.wait(t, want) {
			text := fmt.Sprint(s.Name(), s.Attributes(), s.Events(), s.Status(), s.Links(), s.Resource())
			for _, kv := range s.Attributes() {
				text += kv.Value.String()
			}
			for _, word := range []string{prompt, answer, key} {
				if strings.Contains(text, word) {
					t.Errorf("span %q has %q: %s", s.Name(), word, text)
				}
			}
		}
	}
}
