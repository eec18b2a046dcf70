package servers

import (
	"slices"
	"strings"
	"testing"
)

func TestDetect(t *testing.T) {
	const endpoint = "--otlp-traces-endpoint http://127.0.0.1:9"
	tests := []struct {
		argv, name, missing, elsewhere, health string
	}{
		{argv: "vllm serve m", name: "vllm", missing: endpoint, health: "http://127.0.0.1:8000/health"},
		{argv: "/usr/bin/vllm serve m --port 80 --host ::", name: "vllm", missing: endpoint, health: "http://[::1]:80/health"},
		{argv: `C:\Scripts\vllm.exe serve m`, name: "vllm", missing: endpoint, health: "http://127.0.0.1:8000/health"},
		{
			argv: "python3.12 -u -X dev -m vllm.entrypoints.openai.api_server --port=81 --ssl-certfile c --host=0.0.0.0",
			name: "vllm", missing: endpoint, health: "https://127.0.0.1:81/health",
		},
		{argv: "python -mvllm.entrypoints.cli.main serve m", name: "vllm", missing: endpoint, health: "http://127.0.0.1:8000/health"},
		{argv: "vllm serve m --otlp-traces-endpoint grpc://c:1", name: "vllm", elsewhere: "grpc://c:1", health: "http://127.0.0.1:8000/health"},
		{argv: "vllm serve m --otlp_traces_endpoint=c:1", name: "vllm", elsewhere: "c:1", health: "http://127.0.0.1:8000/health"},
		{argv: "vllm serve m --otlp-traces c:1", name: "vllm", health: "http://127.0.0.1:8000/health"},
		{argv: "vllm serve m --headless", name: "vllm", missing: endpoint},
		{argv: "vllm serve m --uds /run/v.sock", name: "vllm", missing: endpoint},
		{argv: "vllm serve m --config c.yaml", name: "vllm", missing: endpoint},
		{argv: "vllm serve m --config c.yaml --port 7", name: "vllm", missing: endpoint, health: "http://127.0.0.1:7/health"},
		{
			argv: "python -m sglang.launch_server --model-path m --port 1", name: "sglang",
			missing: "--enable-trace --otlp-traces-endpoint 127.0.0.1:9", health: "http://127.0.0.1:1/health",
		},
		{
			argv: "python -m sglang.launch_server --enable-trace", name: "sglang",
			missing: "--otlp-traces-endpoint 127.0.0.1:9", health: "http://127.0.0.1:30000/health",
		},
		{argv: "vllm serve m --chat-template --help-me", name: "vllm", missing: endpoint, health: "http://127.0.0.1:8000/health"},
		{argv: "vllm serve --help"},
		{argv: "vllm serve --help=max-model-len"},
		{argv: "vllm serve m -h"},
		{argv: "python -m sglang.launch_server --version"},
		{argv: "vllm bench serve"},
		{argv: "vllm"},
		{argv: "python vllm.entrypoints.openai.api_server"},
		{argv: "python -c -m vllm.entrypoints.openai.api_server"},
		{argv: "python app.py -m vllm.entrypoints.openai.api_server"},
		{argv: "sh -c true"},
		{argv: ""},
	}
	for _, tt := range tests {
		t.Run(tt.argv, func(t *testing.T) {
			argv := strings.Fields(tt.argv)
			got, ok := Detect(argv, "127.0.0.1:9")
			if ok != (tt.name != "") || got.Name != tt.name || got.Elsewhere != tt.elsewhere || got.Health != tt.health {
				t.Errorf("got %+v, %v", got, ok)
			}
			if !slices.Equal(got.Missing, strings.Fields(tt.missing)) {
				t.Errorf("missing %q, want %q", got.Missing, tt.missing)
			}
		})
	}
}
