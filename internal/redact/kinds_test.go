package redact

import (
	"strings"
	"testing"
)

// fill makes up characters of a set: n of them, the same each time.
func fill(set string, n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteByte(set[(i*7+i/3)%len(set)])
	}
	return b.String()
}

const (
	hexDigits = "0123456789abcdef"
	letters   = "aB3dEf7hIjK9mNoP5rStU1wXyZ0"
)

// kindsOfSecrets has texts with a secret each, as forkspan may come to record them, in the place of @.
var kindsOfSecrets = []struct{ name, text, secret string }{
	{"OpenAI", "Incorrect API key provided: @.", "sk-proj-" + fill(letters, 40)},
	{"Anthropic", "x @ y", "sk-ant-api03-" + fill(letters, 40)},
	{"OpenRouter", "@", "sk-or-v1-" + fill(hexDigits, 64)},
	{"Hugging Face", "token=@", "hf_" + fill(letters, 34)},
	{"Groq", "a @", "gsk_" + fill(letters, 52)},
	{"Replicate", "@", "r8_" + fill(letters, 37)},
	{"Perplexity", "@", "pplx-" + fill(letters, 40)},
	{"xAI", "@", "xai-" + fill(letters, 60)},
	{"Cerebras", "@", "csk-" + fill(letters, 40)},
	{"NVIDIA", "@", "nvapi-" + fill(letters, 60)},
	{"W&B by variable", "WANDB_API_KEY=@", fill(hexDigits, 40)},
	{"W&B by command", "wandb login @", fill(hexDigits, 40)},
	{"Cohere by variable", "CO_API_KEY=@ python x.py", fill(letters, 40)},
	{"GitHub", "git clone https://x:@@github.com/a/b", "ghp_" + fill(letters, 36)},
	{"GitHub fine-grained", "@", "github_pat_" + fill(letters, 60)},
	{"GitLab", "@", "glpat-" + fill(letters, 20)},
	{"Slack token", "@", "xoxb-123456789012-" + fill(letters, 24)},
	{"Slack webhook", "POST https://hooks.slack.com/services/@ 404", "T0AAAA/B0BBBB/" + fill(letters, 24)},
	{"Discord webhook", "https://discord.com/api/webhooks/@", "123456789/" + fill(letters, 60)},
	{"Stripe", "@", "sk_live_" + fill(letters, 24)},
	{"Stripe restricted", "@", "rk_live_" + fill(letters, 24)},
	{"Stripe webhook", "@", "whsec_" + fill(letters, 32)},
	{"SendGrid", "@", "SG." + fill(letters, 22) + "." + fill(letters, 43)},
	{"Twilio", "@", "SK" + fill(hexDigits, 32)},
	{"Mailgun", "@", "key-" + fill(hexDigits, 32)},
	{"Mailchimp", "@", fill(hexDigits, 32) + "-us12"},
	{"PyPI", "@", "pypi-AgEIcHlwaS5vcmc" + fill(letters, 50)},
	{"npm", "//registry.npmjs.org/:_authToken=@", "npm_" + fill(letters, 36)},
	{"Docker", "@", "dckr_pat_" + fill(letters, 27)},
	{"Docker's config", `{"auths":{"x":{"auth":"@"}}}`, "bWU6" + fill(letters, 20) + "=="},
	{"DigitalOcean", "@", "dop_v1_" + fill(hexDigits, 64)},
	{"Databricks", "@", "dapi" + fill(hexDigits, 32)},
	{"Datadog", "DD_API_KEY=@", fill(hexDigits, 32)},
	{"Datadog's other", "DD-APPLICATION-KEY: @", fill(hexDigits, 40)},
	{"Grafana", "@", "glsa_" + fill(letters, 32) + "_1234abcd"},
	{"Vault", "@", "hvs." + fill(letters, 24)},
	{"New Relic", "@", "NRAK-" + strings.ToUpper(fill(letters, 27))},
	{"Sentry's DSN", "https://@@o1.ingest.sentry.io/2", fill(hexDigits, 32)},
	{"Sentry's user token", "@", "sntryu_" + fill(hexDigits, 64)},
	{"Shopify", "@", "shpat_" + fill(hexDigits, 32)},
	{"Tailscale", "@", "tskey-auth-" + fill(letters, 20)},
	{"Atlassian", "@", "ATATT3xFfGF0" + fill(letters, 60)},
	{"Telegram", "https://api.telegram.org/bot@/getMe", "123456789:A" + fill(letters, 34)},
	{"Google key", "https://maps.example/x?key=@&n=1", "AIza" + fill(letters, 35)},
	{"Google OAuth", "@", "ya29." + fill(letters, 60)},
	{"AWS access key", "@", "AKIA" + fill("ABCDEFGH2345", 16)},
	{"AWS secret", "AWS_SECRET_ACCESS_KEY=@", fill(letters+"/+", 40)},
	{"AWS configure", "aws_secret_access_key = @", fill(letters+"/+", 40)},
	{"AWS signed URL", "https://b.s3.amazonaws.com/k?X-Amz-Date=1&X-Amz-Signature=@", fill(hexDigits, 64)},
	{"AWS session", "https://b/k?X-Amz-Security-Token=@&a=b", fill(letters, 90)},
	{"Google signed URL", "https://storage.googleapis.com/b/k?X-Goog-Signature=@", fill(hexDigits, 128)},
	{"Azure SAS", "https://a.blob.core.windows.net/c?sv=2024&sp=r&sig=@", fill(letters, 30) + "%2Fx%3D"},
	{"Azure storage", "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=@;EndpointSuffix=x", fill(letters, 80) + "=="},
	{"Azure service bus", "Endpoint=sb://x/;SharedAccessKeyName=n;SharedAccessKey=@", fill(letters, 40) + "="},
	{"Azure client", "@", fill(letters, 3) + "8Q~" + fill(letters, 34)},
	{"SQL Server", "Server=db;User Id=me;Password=@;Encrypt=yes", "pa55 word"[:4] + "wort"},
	{"URL's user", "postgres://me:@@db:5432/x", "hunter2"},
	{"redis URL without a user", "redis://:@@h:6379/0", "hunter2"},
	{"URL's token", "https://@@git.example/a", fill(letters, 20)},
	{"JSON web token", "@", "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0." + fill(letters, 20)},
	{"PEM", "a -----BEGIN RSA PRIVATE KEY-----\n@\n-----END RSA PRIVATE KEY-----", fill(letters, 64)},
	{"OpenSSH", "-----BEGIN OPENSSH PRIVATE KEY-----\n@", fill(letters, 64)},
	{"PGP", "-----BEGIN PGP PRIVATE KEY BLOCK-----\n@\n-----END PGP PRIVATE KEY BLOCK-----", fill(letters, 64)},
	{"Google service account", `{"private_key_id":"abc","private_key":"-----BEGIN PRIVATE KEY-----\n@\n-----END PRIVATE KEY-----\n"}`, fill(letters, 64)},
	{"bearer", "Authorization: Bearer @", "abc.def-123"},
	{"basic", "got 401 for Basic @", "bWU6aHVudGVyMg=="},
	{"digest", "Authorization: Digest username=\"me\", response=\"@\"", fill(hexDigits, 32)},
	{"cookies", "Cookie: theme=dark; sid=@; lang=de", "s%3Aabcdef"},
	{"set-cookie", "Set-Cookie: a=1; x=@; Path=/", "s%3Aabcdef"},
	{"curl's header", "curl -H 'X-Api-Key: @' http://h", "abc-def"},
	{"header of Go", "map[Accept:[*/*] Authorization:[Token @] X:[1]]", "abcdef"},
	{"header of Python", "headers=[(b'host', b'h'), (b'x-api-key', b'@')]", "abcdef"},
	{"dict of Python", "{'api_key': '@', 'n': 1}", "abcdef"},
	{"JSON", `{"password": "@", "n": 1}`, "a b c"},
	{"JSON in JSON", `{"body":"{\"client_secret\": \"@\"}"}`, "a b c"},
	{"YAML", "user: me\npassword: @\nport: 80", "abcdef"},
	{"environment", "HOME=/root\nMYSQL_PWD=@\nPATH=/bin", "abcdef"},
	{"subscript", "os.environ['HF_TOKEN'] = '@'", "abcdef"},
	{"hash of Ruby", ":password => \"@\"", "a b"},
	{"SQL", "CREATE USER a IDENTIFIED BY '@'", "a b"},
	{"postgres", "ALTER ROLE a PASSWORD '@'", "a b"},
	{"an error's words", "invalid api key: @", "abc123def"},
	{"an error's passphrase", "the passphrase was @ and is wrong", "abc123def"},
	{"an error's quotes", "wrong password 'hunter' or password \"@\"", "zwei drei"},
	{"mysql in a script", "mysql -h db -uroot -p@ shop", "hunter2"},
	{"sshpass in a script", "sshpass -p @ ssh me@h", "hunter2"},
	{"redis in a script", "redis-cli -h h -a @ ping", "hunter2"},
	{"docker in a script", "docker login -u me -p @ registry", "hunter2"},
	{"openssl in a script", "openssl rsa -passin pass:@ -in k", "hunter2"},
	{"cut off", `{"api_key": "@`, "abc def"},
	{"OAuth's code", "GET /callback?code=@&state=x", "4/0A" + fill(letters, 40)},
	{"a name in one word", "githubPat=@", "abcdef"},
	{"a short name", "creds: @", "abcdef"},
	{"query", "https://h/p?access_token=@&n=1", "abc"},
}

func TestKinds(t *testing.T) {
	if len(kinds) > 64 {
		t.Fatalf("%d kinds, a mask has 64 bits", len(kinds))
	}
	for _, tt := range kindsOfSecrets {
		if strings.Count(tt.text, "@") > 1 {
			tt.text = strings.Replace(tt.text, "@", tt.secret, 1)
		} else {
			tt.text = strings.ReplaceAll(tt.text, "@", tt.secret)
		}
		got := String(tt.text)
		if strings.Contains(got, tt.secret) || !strings.Contains(got, Mark) {
			t.Errorf("%s: %q", tt.name, got)
		}
		if again := String(got); again != got {
			t.Errorf("%s: %q becomes %q", tt.name, got, again)
		}
		for _, around := range []string{"'@'", "got @.", "(@)", "x\n@\ny", `{"a":"@"}`} {
			if strings.Contains(tt.secret, " ") || strings.ContainsAny(tt.text, "\"'\n") {
				continue
			}
			if got := String(strings.Replace(around, "@", tt.text, 1)); strings.Contains(got, tt.secret) {
				t.Errorf("%s: %q", tt.name, got)
			}
		}
	}
}

// What is no secret stays as it is: who reads a trace wants to know what was done.
func TestHarmless(t *testing.T) {
	for _, s := range []string{
		"task-runner-that-is-long", "meta-llama/Llama-3.1-8B-Instruct", "hf_transfer", "disk-full-at-midnight", "a:b",
		"vllm serve Qwen/Qwen3-0.6B --max-num-batched-tokens 8192 --served-model-name gpt-4o", "--tokenizer-mode auto",
		"open /run/secrets/token: no such file or directory", "open my-password: permission denied", "read /etc/passwd: is a directory",
		"time to first token: 0.25", "next_token=128", "eos_token: </s>", "time_to_first_token=0.3", "prompt_tokens=17 completion_tokens=4",
		"basic authentication failed", "Bearer authentication is required", "Basic Authentication", "the token is invalid",
		"password authentication failed for user \"me\"", "secret key is required", "KeyError: 'foo'", "key=layer.12.attention",
		"monkey patching", "primary key (id)", "cache_key=abc", "sort-key: b", "key=value", "http://h/p?page=2&sort=key&code=200",
		"https://github.com/a/b/pull/12#issuecomment", "git@github.com:a/b.git", "mail me@example.com", "http://127.0.0.1:4318/v1/traces",
		"PWD=/home/me", "OLDPWD=/", "SSH_AUTH_SOCK=/tmp/x", "--password-file /run/p", "--password-stdin registry.io", "--token-url=http://h/t",
		"--ssl-keyfile k.pem --ssl-certfile c.pem", "docker run -p 80:80 -u 1000:1000 x", "ps -p 12", "mkdir -p a/b", "cp -a x y",
		"4f0e1d2c3b4a59687766554433221100", "00-5f0e3a1c9b7d48264f1e2d3c4b5a6978-00f067aa0ba902b7-01", "sha256:" + fill(hexDigits, 64),
		"3f2504e0-4f89-41d3-9a0c-0305e82c3301", "forward_pass=3", "author: Jane Doe", "authority: h:80", "Keyboard: de",
		"TypeError: token_type_ids is not a tensor", "bypass=1", "compass: north", "go test -run TestTokens ./...",
	} {
		if got := String(s); got != s {
			t.Errorf("String(%q) = %q", s, got)
		}
		fields := strings.Fields(s)
		for i, got := range Args(fields) {
			if got != fields[i] {
				t.Errorf("Args(%q): %q", fields, got)
			}
		}
	}
}

func TestProgramArgs(t *testing.T) {
	for _, line := range []string{
		"mysql -uroot -p@ shop", "sudo /usr/bin/mysqldump -p@", "sshpass -p @ ssh h", "redis-cli -a @ ping", "docker login -u me -p @ r",
		"docker exec db mysql -p@", "mongosh -u me -p @", "sqlcmd -S h -P @", "ldapsearch -D cn=a -w @", "7z x -p@ a.7z", "unzip -P @ a.zip",
		"wandb login --relogin " + fill(hexDigits, 30) + "@", "aws configure set aws_secret_access_key @", "npm config set //r/:_authToken @",
		"ngrok config add-authtoken @", "openssl rsa -passin pass:@", "kubectl create secret generic x --from-literal=foo=@",
		"curl -b sid=@ http://h", "http --auth me:@ h", "env PGPASSWORD=@ psql", "docker run -e HF_TOKEN=@ x", "keytool -storepass @",
		"gpg --batch --passphrase @ -d x", "curl --oauth2-bearer @ h", "curl -uroot:@ h",
	} {
		got := strings.Join(Args(strings.Fields(strings.ReplaceAll(line, "@", "Zq8vWm3xKp"))), " ")
		if strings.Contains(got, "Zq8vWm3xKp") {
			t.Errorf("%s: %s", line, got)
		}
	}
	if got := Args([]string{"env", "DB_PASSWORD=a b c"}); got[1] != "DB_PASSWORD="+Mark {
		t.Errorf("an assignment with blanks: %q", got)
	}
}

func TestSecretName(t *testing.T) {
	for name, want := range map[string]bool{
		"http.request.header.authorization": true, "http.request.header.x-api-key": true, "http.response.header.set-cookie": true,
		"process.environment_variable.HF_TOKEN": true, "db.password": true, "apiKey": true, "x-goog-api-key": true, "client_secret": true,
		"OPENAI_API_KEY": true, "userPassword": true, "jwt": true, "GITHUB_PAT": true, "private_key": true, "_authToken": true,
		"gen_ai.usage.input_tokens": false, "gen_ai.latency.time_to_first_token": false, "gen_ai.token.type": false, "session.id": false,
		"llm.token_count.prompt": false, "db.statement": false, "key": false, "messaging.kafka.message.key": false, "code.filepath": false,
		"total_token": false, "max_token": false, "completion_token": false, "num_token": false, "cached_token": false, "reasoningToken": false,
		"api_token": true, "max_api_token": true, "text_token_secret": true, "csrf_token": true,
		"password_file": false, "token_url": false, "gen_ai.latency.time_per_output_token": false, "http.route": false, "": false,
	} {
		if got := SecretName(name); got != want {
			t.Errorf("SecretName(%q) = %t", name, got)
		}
	}
}

// Values pass the names' judgement before that of their own shape.
func TestValue(t *testing.T) {
	for _, tt := range []struct{ name, value, want string }{
		{"api.key", "abc", Mark}, {"api.key", "", ""}, {"pwd", "/root", "/root"}, {"url", "http://a:b@c/", "http://" + Mark + "@c/"}, {"n", "5", "5"},
	} {
		if got := Value(tt.name, tt.value); got != tt.want {
			t.Errorf("Value(%q, %q) = %q", tt.name, tt.value, got)
		}
	}
}

// What the quick look lets pass is what the long one leaves alone.
func FuzzSuspicious(f *testing.F) {
	for _, tt := range kindsOfSecrets {
		f.Add(strings.ReplaceAll(tt.text, "@", tt.secret))
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := String(s)
		if !Suspicious(s) && got != s {
			t.Errorf("%q is not suspicious and becomes %q", s, got)
		}
		for _, k := range kinds {
			if !Suspicious(s) && k.hide(s) != s {
				t.Errorf("%q is not suspicious and %v change it", s, k.hints)
			}
		}
		for _, arg := range Args([]string{s, s}) {
			_ = arg
		}
	})
}

func BenchmarkHarmless(b *testing.B) {
	s := strings.Repeat("POST /v1/chat/completions Qwen/Qwen3-0.6B ", 6)
	b.SetBytes(int64(len(s)))
	for b.Loop() {
		String(s)
	}
}
