package cli

import (
	"bytes"
	"compress/gzip"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/zstd"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

func init() { standIns["secretchild"] = secretChild }

// seeds are secrets of many kinds, all made up, and what they come in: @ is the place of the secret.
var seeds = []struct{ text, secret string }{
	{"Incorrect API key provided: @", "sk-proj-aB3dEf7hIjK9mNoP5rStU1wX"},
	{"x-api-key: @", "sk-ant-api03-bB3dEf7hIjK9mNoP5rStU1wX"},
	{"--hf-token=@", "hf_cB3dEf7hIjK9mNoP5rStU1wXyZ0aB3dEf7"},
	{"GROQ_API_KEY=@", "gsk_dB3dEf7hIjK9mNoP5rStU1wXyZ0aB3dEf7"},
	{"replicate @", "r8_eB3dEf7hIjK9mNoP5rStU1wXyZ0aB3dEf7"},
	{"nvidia @", "nvapi-fB3dEf7hIjK9mNoP5rStU1wXyZ0aB3dEf7"},
	{"WANDB_API_KEY=@", "0123456789abcdef0123456789abcdef01234567"},
	{"wandb login @", "1123456789abcdef0123456789abcdef01234567"},
	{"https://x:@@github.com/a/b.git", "ghp_gB3dEf7hIjK9mNoP5rStU1wXyZ0aB3dEf7"},
	{"pat @", "github_pat_hB3dEf7hIjK9mNoP5rStU1wXyZ0aB3"},
	{"gitlab @", "glpat-iB3dEf7hIjK9mNoP5rSt"},
	{"slack @", "xoxb-123456789012-jB3dEf7hIjK9mNoP"},
	{"POST https://hooks.slack.com/services/@", "T0AAAA/B0BBBB/kB3dEf7hIjK9mNoP5rSt"},
	{"stripe @", "sk_live_lB3dEf7hIjK9mNoP5rSt"},
	{"sendgrid @", "SG.mB3dEf7hIjK9mNoP5rSt.nB3dEf7hIjK9mNoP5rStU1wXyZ0"},
	{"twilio @", "SK2123456789abcdef0123456789abcdef"},
	{"mailgun @", "key-3123456789abcdef0123456789abcdef"},
	{"pypi @", "pypi-AgEIcHlwaS5vcmcoB3dEf7hIjK9mNoP5rStU1"},
	{"//registry.npmjs.org/:_authToken=@", "npm_pB3dEf7hIjK9mNoP5rStU1wXyZ0aB3dEf7"},
	{"digitalocean @", "dop_v1_4123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"},
	{"databricks @", "dapi5123456789abcdef0123456789abcdef"},
	{"DD-API-KEY: @", "6123456789abcdef0123456789abcdef"},
	{"grafana @", "glsa_qB3dEf7hIjK9mNoP5rStU1wXyZ0aB3dE_12ab34cd"},
	{"vault @", "hvs.rB3dEf7hIjK9mNoP5rStU1wX"},
	{"newrelic @", "NRAK-SB3DEF7HIJK9MNOP5RSTU1WXYZ0"},
	{"google https://h/x?key=@&n=1", "AIzasB3dEf7hIjK9mNoP5rStU1wXyZ0aB3dEf7h"},
	{"aws @", "AKIATB3DEF7HIJK9MNOP"},
	{"AWS_SECRET_ACCESS_KEY=@", "uB3dEf7hIjK9mNoP5rStU1wXyZ0aB3dEf7hIjK9m"},
	{"https://b.s3.amazonaws.com/k?X-Amz-Date=1&X-Amz-Signature=@", "7123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"},
	{"https://a.blob.core.windows.net/c?sv=2024&sig=@", "vB3dEf7hIjK9mNoP5rStU1wXyZ0%2Fx%3D"},
	{"AccountName=a;AccountKey=@;EndpointSuffix=x", "wB3dEf7hIjK9mNoP5rStU1wXyZ0aB3dEf7hIjK9mNoP5rStU1w=="},
	{"Server=db;User Id=me;Password=@;Encrypt=yes", "xB3dEf7hIj"},
	{"postgres://me:@@db:5432/x", "yB3dEf7hIjK9"},
	{"token @", "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.zB3dEf7hIjK9mNoP"},
	{"-----BEGIN PRIVATE KEY-----\n@\n-----END PRIVATE KEY-----", "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC0B3dEf7hIjK9"},
	{"Authorization: Bearer @", "1B3dEf7hIjK9mNoP"},
	{"Authorization: Basic @", "bWU6MkIzZEVmN2hJaks5"},
	{"Cookie: theme=dark; sid=@; lang=de", "3B3dEf7hIjK9mNoP"},
	{`{"password": "@", "n": 1}`, "4B3dEf7 hIjK9"},
	{"[(b'host', b'h'), (b'x-api-key', b'@')]", "5B3dEf7hIjK9"},
	{"mysql -h db -uroot -p@ shop", "6B3dEf7hIjK9"},
	{"curl -u me:@ http://h/", "7B3dEf7hIjK9"},
	{"redis-cli -a @ ping", "8B3dEf7hIjK9"},
	{"CREATE USER a IDENTIFIED BY '@'", "9B3dEf7 hIjK9"},
}

func seeded(i int) string {
	return strings.Replace(seeds[i].text, "@", seeds[i].secret, 1)
}

// byKey are secrets that only their names tell.
var byKey = map[string]string{
	"api.key": "0C3dEf7hIjK9", "http.request.header.authorization": "1C3dEf7hIjK9", "http.request.header.x-api-key": "2C3dEf7hIjK9",
	"db.password": "3C3dEf7hIjK9", "process.environment_variable.HF_TOKEN": "4C3dEf7hIjK9", "client_secret": "5C3dEf7hIjK9",
	"session.cookie": "6C3dEf7hIjK9", "privateKey": "7C3dEf7hIjK9",
}

// flagSecrets follow a flag as an argument of its own.
var flagSecrets = []string{"--api-key", "8C3dEf7hIjK9", "--password", "9C3dEf7hIjK9 x", "-u", "me:0D3dEf7hIjK9", "--token", "1D3dEf7hIjK9"}

// secretArgs is a command line full of secrets.
func secretArgs() []string {
	args := append([]string{}, flagSecrets...)
	for i := range seeds {
		args = append(args, seeded(i))
	}
	return args
}

// secretChild sends spans that hold secrets wherever there is text; with quiet it sends none.
func secretChild() error {
	if os.Args[1] == "quiet" {
		_, err := os.Stdout.WriteString("")
		return err
	}
	if err := exec.Command("secretchild", append([]string{"quiet"}, secretArgs()...)...).Run(); err != nil {
		return err
	}
	ctx := context.Background()
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return err
	}
	attrs := []attribute.KeyValue{attribute.StringSlice("process.command_args", secretArgs()), attribute.Int("max_tokens", 4711)}
	for key, secret := range byKey {
		attrs = append(attrs, attribute.String(key, secret), attribute.StringSlice(key+".token", []string{secret}))
	}
	for i := range seeds {
		attrs = append(attrs, attribute.String(fmt.Sprintf("text.%d", i), seeded(i)), attribute.String(seeded(i), "x"))
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(resource.NewSchemaless(attrs...)))
	ctx = propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": os.Getenv("TRACEPARENT")})
	for i := range seeds {
		link := trace.Link{SpanContext: trace.SpanContextFromContext(ctx), Attributes: attrs}
		tracer := provider.Tracer(seeded(i), trace.WithInstrumentationVersion(seeded(i)), trace.WithInstrumentationAttributes(attrs...))
		_, span := tracer.Start(ctx, "step "+seeded(i), trace.WithAttributes(attrs...), trace.WithLinks(link))
		span.AddEvent(seeded(i), trace.WithAttributes(attrs...))
		span.RecordError(errors.New(seeded(i)))
		span.SetStatus(codes.Error, "failed: "+seeded(i))
		span.End()
	}
	return provider.Shutdown(ctx)
}

// world is a store, a backend and a home of a test's own, and all that is seen of them.
type world struct {
	t    *testing.T
	dir  string
	env  []string
	mu   sync.Mutex
	seen map[string][]byte // by where
}

func newWorld(t *testing.T, env ...string) *world {
	w := &world{t: t, dir: t.TempDir(), seen: map[string][]byte{}}
	backend := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var body io.Reader = r.Body
		if r.Header.Get("Content-Encoding") == "gzip" {
			body, _ = gzip.NewReader(body)
		}
		data, err := io.ReadAll(body)
		if err != nil {
			t.Error(err)
		}
		w.keep("the backend", data)
	}))
	t.Cleanup(backend.Close)
	w.env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + w.dir, "OTEL_EXPORTER_OTLP_ENDPOINT=" + backend.URL, "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf",
	}, env...)
	return w
}

func (w *world) keep(where string, data []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen[where] = append(w.seen[where], data...)
}

// run runs forkspan, in the middle of the secrets, and keeps what it prints.
func (w *world) run(args ...string) {
	w.t.Helper()
	cmd := exec.Command("forkspan", append([]string{"--db", filepath.Join(w.dir, "db")}, args...)...)
	cmd.Env, cmd.Dir = w.env, w.dir
	out, err := cmd.CombinedOutput()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		w.t.Fatal(err)
	}
	w.keep("the output of "+args[0], out)
}

// dump keeps each value in the database, and what is in compressed ones, and all files.
func (w *world) dump() {
	w.t.Helper()
	unpack, err := zstd.NewReader(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	defer unpack.Close()
	db, err := sql.Open("sqlite", filepath.Join(w.dir, "db"))
	if err != nil {
		w.t.Fatal(err)
	}
	defer db.Close()
	var tables []string
	w.query(db, "SELECT name FROM sqlite_schema WHERE type = 'table'", func(row []any) { tables = append(tables, fmt.Sprint(row[0])) })
	for _, table := range tables {
		w.query(db, "SELECT * FROM "+table, func(row []any) {
			for _, value := range row {
				switch v := value.(type) {
				case []byte:
					w.keep("table "+table, v)
					if plain, err := unpack.DecodeAll(v, nil); err == nil {
						w.keep("decompressed in table "+table, plain)
					}
				default:
					w.keep("table "+table, fmt.Append(nil, v))
				}
			}
		})
	}
	err = filepath.WalkDir(w.dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		w.keep("file "+filepath.Base(path), data)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) query(db *sql.DB, query string, each func(row []any)) {
	w.t.Helper()
	rows, err := db.Query(query)
	if err != nil {
		w.t.Fatal(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		w.t.Fatal(err)
	}
	for rows.Next() {
		row, to := make([]any, len(columns)), make([]any, len(columns))
		for i := range row {
			to[i] = &row[i]
		}
		if err := rows.Scan(to...); err != nil {
			w.t.Fatal(err)
		}
		each(row)
	}
	if err := rows.Err(); err != nil {
		w.t.Fatal(err)
	}
}

// noSecrets fails for each secret in anything that was seen.
func (w *world) noSecrets() {
	w.t.Helper()
	var secrets []string
	for i := range seeds {
		secrets = append(secrets, seeds[i].secret)
	}
	for _, secret := range byKey {
		secrets = append(secrets, secret)
	}
	for _, arg := range flagSecrets {
		if !strings.HasPrefix(arg, "-") {
			secrets = append(secrets, strings.TrimPrefix(arg, "me:"))
		}
	}
	for where, data := range w.seen {
		for _, secret := range secrets {
			if i := bytes.Index(data, []byte(secret)); i >= 0 {
				w.t.Errorf("%s is in %s: %q", secret, where, data[max(0, i-80):min(len(data), i+80)])
			}
		}
	}
}

// wants fails where something that was to be seen was not: nothing is easier kept from secrets than what is empty.
func (w *world) wants(where, text string) {
	w.t.Helper()
	if !bytes.Contains(w.seen[where], []byte(text)) {
		w.t.Errorf("no %q in %s: %.2000q", text, where, w.seen[where])
	}
}

// What forkspan itself records, says and sends on holds no secret, without being asked.
func TestNoSecretsOfOurOwn(t *testing.T) {
	var list []string
	for key, secret := range byKey {
		list = append(list, key+"="+secret)
	}
	w := newWorld(t, "OTEL_RESOURCE_ATTRIBUTES="+strings.Join(list, ","), "OTEL_EXPORTER_OTLP_HEADERS=api-key="+seeds[0].secret)
	for i := range seeds {
		args := []string{"run", "--drain", "10s", "--summary", "-o", "run.jsonl", "--name", "job " + seeded(i), "--ready",
			"http://me:" + byKey["db.password"] + "@127.0.0.1:1/x?token=" + byKey["api.key"], "--", "secretchild", "quiet"}
		if i == 0 {
			w.run(append(args, secretArgs()...)...)
		} else if i%8 == 0 {
			w.run(append(args, seeded(i))...)
		}
	}
	w.run("run", "--", "./"+seeds[8].secret, "--api-key", byKey["api.key"])
	w.run("run", "--drain", "10s", "--proxy", "0:http://me:"+byKey["db.password"]+"@127.0.0.1:1", "--", "secretchild", "quiet")
	w.run("show", seeds[8].secret)
	w.run("show", "no/such/"+seeds[8].secret)
	w.run("import", seeds[8].secret+".jsonl")
	spans := []string{"span", "add", "step " + seeded(0), "--start", "-1s", "--status", "error", "--message", "failed: " + seeded(1)}
	for key, secret := range byKey {
		spans = append(spans, "--attr", key+"="+secret)
	}
	w.run(append(spans, "--attr", "text="+seeded(2), "--event", seeded(4))...)
	w.run("span", "start", "step "+seeded(0), "--attr", "api.key="+byKey["api.key"])
	w.run("show")
	w.run("show", "--json", "-3")
	w.run("ls", "--json")
	w.run("export", "--all", "-o", "all.jsonl")
	w.run("export", "--all")
	w.run("doctor")
	w.run("doctor", "--json")
	w.dump()
	w.wants("the output of run", "[redacted]")
	w.wants("decompressed in table request", "[redacted]")
	w.wants("table run", "--api-key")
	w.wants("file all.jsonl", "forkspan.processes")
	w.wants("the backend", "process.command_args")
	w.noSecrets()
}

// With --redact there is none in anything, whoever it came from.
func TestRedact(t *testing.T) {
	w := newWorld(t)
	w.run("run", "--redact", "--drain", "10s", "--summary", "-o", "run.pb", "--", "secretchild", "send")
	w.run("show", "--all", "--json")
	w.run("show", "--processes")
	w.run("ls", "--json", "--traces")
	w.run("export", "--all", "-o", "all.jsonl")
	w.run("export")
	w.dump()
	for _, where := range []string{"the backend", "decompressed in table request", "file run.pb", "file all.jsonl", "the output of show"} {
		w.wants(where, "failed: ")
		w.wants(where, "[redacted]")
		w.wants(where, "max_tokens")
	}
	w.noSecrets()
}

// The same by the environment, for what a standing command and an import take; and what was stored as it came leaves without.
func TestRedactElsewhere(t *testing.T) {
	w := newWorld(t)
	w.run("run", "-q", "-o", "raw.jsonl", "--", "secretchild", "send")
	if err := os.Rename(filepath.Join(w.dir, "raw.jsonl"), filepath.Join(t.TempDir(), "raw.jsonl")); err != nil {
		t.Fatal(err)
	}
	w.mu.Lock()
	clear(w.seen)
	w.mu.Unlock()
	w.run("export", "--redact", "-o", "clean.pb")
	w.run("export", "--redact")
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(filepath.Join(w.dir, "db"+suffix)); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	w.env = append(w.env, "FORKSPAN_REDACT=1")
	w.run("import", "clean.pb")
	w.run("show", "--all")
	w.dump()
	w.wants("file clean.pb", "failed: ")
	w.wants("the output of show", "password\": [redacted]")
	w.noSecrets()
}
