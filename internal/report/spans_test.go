package report

import (
	"context"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/store"
)

// storeRequests stores requests of run RUN in OTLP requests of 512 spans.
func storeRequests(tb testing.TB, db *store.Store, requests int, joined bool, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 2))
	start := int64(1_800_000_000_000_000_000)
	const batch = 512
	var client, server []byte
	flush := func(spans *[]byte) {
		body := envelope(*spans)
		*spans = (*spans)[:0]
		clean, sum, _, _, err := otlp.Scan(body)
		if err == nil {
			err = db.Append(context.Background(), "RUN", clean, sum)
		}
		if err != nil {
			tb.Fatal(err)
		}
	}
	for i := range requests {
		start += random.Int64N(2_000_000)
		s := spanFields{start: start, kind: otlp.KindServer, name: "llm_request"}
		binary.LittleEndian.PutUint64(s.trace[:], random.Uint64())
		binary.LittleEndian.PutUint64(s.trace[8:], random.Uint64())
		binary.LittleEndian.PutUint64(s.span[:], random.Uint64())
		binary.LittleEndian.PutUint64(s.parent[:], random.Uint64())
		ttft, tpot := 0.02+random.ExpFloat64()*0.1, 0.005+random.ExpFloat64()*0.005
		out := 1 + random.Int64N(500)
		total := ttft + tpot*float64(out)
		s.end = start + int64(total*1e9)
		if joined {
			c := s
			c.span, c.parent, c.kind, c.name = s.parent, otlp.SpanID{}, otlp.KindClient, "chat Qwen/Qwen3-0.6B"
			client = c.append(client, map[string]any{
				"gen_ai.operation.name": "chat", "gen_ai.provider.name": "vllm", "gen_ai.request.model": "Qwen/Qwen3-0.6B",
				"server.address": "127.0.0.1", "server.port": int64(8000), "url.path": "/v1/chat/completions",
				"gen_ai.request.stream": true, "gen_ai.usage.input_tokens": int64(23), "gen_ai.usage.output_tokens": out,
				"http.response.status_code": int64(200), "gen_ai.response.time_to_first_chunk": ttft,
				"forkspan.gen_ai.time_to_first_token": ttft + 0.001, "forkspan.gen_ai.time_per_output_token": tpot,
				"forkspan.gen_ai.time_to_last_token": total,
			})
		}
		server = s.append(server, map[string]any{
			"gen_ai.latency.time_to_first_token": ttft, "gen_ai.latency.e2e": total,
			"gen_ai.latency.time_in_queue": random.ExpFloat64() * 0.001, "gen_ai.usage.prompt_tokens": int64(23),
			"gen_ai.usage.completion_tokens": out, "gen_ai.latency.time_in_model_prefill": ttft * 0.8,
			"gen_ai.latency.time_in_model_decode": tpot * float64(out), "gen_ai.latency.time_in_model_inference": total * 0.9,
			"gen_ai.request.id": "chatcmpl-0123456789abcdef", "gen_ai.request.top_p": 1.0,
			"gen_ai.request.max_tokens": int64(512), "gen_ai.request.temperature": 1.0, "gen_ai.request.n": int64(1),
		})
		if i%batch == batch-1 || i == requests-1 {
			flush(&server)
			if joined {
				flush(&client)
			}
		}
	}
}

// spanFields are of a span that a test makes.
type spanFields struct {
	ids
	name       string
	kind       otlp.Kind
	start, end int64
	status     otlp.StatusCode
}

// append adds the span to a list of them, as protobuf.
func (f *spanFields) append(to []byte, attributes map[string]any) []byte {
	var s []byte
	s = protowire.AppendBytes(protowire.AppendTag(s, 1, protowire.BytesType), f.trace[:])
	s = protowire.AppendBytes(protowire.AppendTag(s, 2, protowire.BytesType), f.span[:])
	if f.parent != (otlp.SpanID{}) {
		s = protowire.AppendBytes(protowire.AppendTag(s, 4, protowire.BytesType), f.parent[:])
	}
	s = protowire.AppendString(protowire.AppendTag(s, 5, protowire.BytesType), f.name)
	s = protowire.AppendVarint(protowire.AppendTag(s, 6, protowire.VarintType), uint64(f.kind))
	s = protowire.AppendFixed64(protowire.AppendTag(s, 7, protowire.Fixed64Type), uint64(f.start))
	s = protowire.AppendFixed64(protowire.AppendTag(s, 8, protowire.Fixed64Type), uint64(f.end))
	for key, v := range attributes {
		var value []byte
		switch v := v.(type) {
		case string:
			value = protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), v)
		case bool:
			value = protowire.AppendVarint(protowire.AppendTag(nil, 2, protowire.VarintType), protowire.EncodeBool(v))
		case int64:
			value = protowire.AppendVarint(protowire.AppendTag(nil, 3, protowire.VarintType), uint64(v))
		case float64:
			value = protowire.AppendFixed64(protowire.AppendTag(nil, 4, protowire.Fixed64Type), math.Float64bits(v))
		}
		var kv []byte
		kv = protowire.AppendString(protowire.AppendTag(kv, 1, protowire.BytesType), key)
		kv = protowire.AppendBytes(protowire.AppendTag(kv, 2, protowire.BytesType), value)
		s = protowire.AppendBytes(protowire.AppendTag(s, 9, protowire.BytesType), kv)
	}
	if f.status != otlp.StatusUnset {
		status := protowire.AppendVarint(protowire.AppendTag(nil, 3, protowire.VarintType), uint64(f.status))
		s = protowire.AppendBytes(protowire.AppendTag(s, 15, protowire.BytesType), status)
	}
	return protowire.AppendBytes(protowire.AppendTag(to, 2, protowire.BytesType), s)
}

// envelope is an OTLP request of spans.
func envelope(spans []byte) []byte {
	scope := protowire.AppendBytes(protowire.AppendTag(nil, 2, protowire.BytesType), spans)
	return protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), scope)
}
