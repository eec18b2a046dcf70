package redact

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestArgs(t *testing.T) {
	tests := []struct {
		name       string
		args, want []string
	}{
		{"a flag's next argument", []string{"vllm", "serve", "--api-key", "abc", "--port", "80"},
			[]string{"vllm", "serve", "--api-key", Mark, "--port", "80"}},
		{"with an equals sign", []string{"--hf-token=abc", "--password='x y'"}, []string{"--hf-token=" + Mark, "--password=" + Mark}},
		{"a switch without a value", []string{"--token", "--port", "80"}, []string{"--token", "--port", "80"}},
		{"variables of env(1)", []string{"env", "HF_TOKEN=abc", "AWS_SECRET_ACCESS_KEY=x", "PORT=80"},
			[]string{"env", "HF_TOKEN=" + Mark, "AWS_SECRET_ACCESS_KEY=" + Mark, "PORT=80"}},
		{"a shell's script", []string{"sh", "-c", "OPENAI_API_KEY=abc exec vllm serve m --api-key k1 --port 80; echo"},
			[]string{"sh", "-c", "OPENAI_API_KEY=" + Mark + " exec vllm serve m --api-key " + Mark + " --port 80; echo"}},
		{"headers", []string{"curl", "-H", "Authorization: Bearer abc.def", "-H", "Accept: text/plain"},
			[]string{"curl", "-H", "Authorization: " + Mark, "-H", "Accept: text/plain"}},
		{"JSON", []string{`{"api_key": "a b", "n": 1}`}, []string{`{"api_key": ` + Mark + `, "n": 1}`}},
		{"counts of tokens are not tokens", []string{
			"--max-tokens", "100", "--tokenizer", "x", "--max-num-batched-tokens=8192", "--max_token_id", "3",
		}, []string{"--max-tokens", "100", "--tokenizer", "x", "--max-num-batched-tokens=8192", "--max_token_id", "3"}},
		{"files are not secrets", []string{"--password-file", "/run/p", "--ssl-keyfile", "k.pem"},
			[]string{"--password-file", "/run/p", "--ssl-keyfile", "k.pem"}},
		{"a URL", []string{"postgres://me:pa:ss@db:5432/x?sslmode=off", "http://h:80/p@q"},
			[]string{"postgres://" + Mark + "@db:5432/x?sslmode=off", "http://h:80/p@q"}},
		{"curl's user", []string{"curl", "-u", "me:pa:ss", "--user=me:x", "--user", "me:y", "http://h"},
			[]string{"curl", "-u", Mark, "--user=" + Mark, "--user", Mark, "http://h"}},
		{"curl's user in a script", []string{"sh", "-c", "curl -u me:x 'http://h/'; curl --proxy-user \"me:y z\" http://h"},
			[]string{"sh", "-c", "curl -u " + Mark + " 'http://h/'; curl --proxy-user " + Mark + " http://h"}},
		{"a user without a password", []string{"docker", "-u", "1000:1000", "--user", "me", "-u", "0:0", "--user=me"},
			[]string{"docker", "-u", "1000:1000", "--user", "me", "-u", "0:0", "--user=me"}},
		{"a query", []string{"https://h/p?access_token=abc&n=1"}, []string{"https://h/p?access_token=" + Mark + "&n=1"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := slices.Clone(tt.args)
			if got := Args(tt.args); !slices.Equal(got, tt.want) {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
			if !slices.Equal(before, tt.args) {
				t.Error("the arguments were changed")
			}
		})
	}
}

// tokens are made up, in the shape of real ones.
var tokens = []string{
	"sk-" + strings.Repeat("a1", 12), "sk-proj-" + strings.Repeat("b_", 12), "hf_" + strings.Repeat("Zz", 17),
	"ghp_" + strings.Repeat("c3", 18), "github_pat_" + strings.Repeat("d", 30), "glpat-" + strings.Repeat("e", 20),
	"xoxb-123456789012-abc", "AKIA" + strings.Repeat("Q7", 8), "nvapi-" + strings.Repeat("f", 20),
	"eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.c2ln",
}

func TestTokenShapes(t *testing.T) {
	for _, token := range tokens {
		for _, format := range []string{"%s", "got %s.", "x=%s", "'%s'", "https://h/%s/x", "(%s)"} {
			if got := String(fmt.Sprintf(format, token)); strings.Contains(got, token) {
				t.Errorf("%q is left in %q", token, got)
			}
		}
	}
	for _, harmless := range []string{"task-runner-that-is-long", "meta-llama/Llama-3", "hf_transfer", "disk-full-at-midnight", "a:b"} {
		if got := String(harmless); got != harmless {
			t.Errorf("String(%q) = %q", harmless, got)
		}
	}
	key := "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----"
	if got := String("a " + key + " b"); got != "a "+Mark+" b" {
		t.Errorf("private key: %q", got)
	}
}

// A secret that is told by its name or its shape never survives, whatever stands around it.
func FuzzString(f *testing.F) {
	f.Add("echo ", " done")
	f.Add(`{"a":"`, `"}`)
	f.Add("--port ", "&b=c")
	f.Fuzz(func(t *testing.T, before, after string) {
		const secret = "Zq8vWm3xKp"
		// What follows directly is part of the value; what stands in front could quote it away.
		for _, line := range []string{
			before + " --api-key=" + secret + " " + after,
			before + "\nHF_TOKEN=" + secret + "\n" + after,
			before + " postgres://u:" + secret + "@h/ " + after,
			before + " sk-" + secret + secret + " " + after,
		} {
			if strings.ContainsAny(before, `"'\-:=_`) || before != "" && before[len(before)-1] >= 0x80 {
				continue
			}
			if got := String(line); strings.Contains(got, secret) {
				t.Errorf("String(%q) = %q", line, got)
			}
		}
	})
}
