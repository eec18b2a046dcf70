package main

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// batch is a request of vLLM-shaped spans, encoded once. Before each sending what differs between real spans is patched in
// place: ids, times and the numbers of a request. The rest repeats, as it does in real life.
type batch struct {
	body   []byte
	traces [][]spanOffsets
	random *rand.PCG
	now    uint64 // Unix nanoseconds
}

// spanOffsets are the places in the body of what is patched.
type spanOffsets struct {
	traceID, spanID, parentID, start, end int
	numbers                               []int // doubles
}

// phase is one of the spans that make up a trace.
type phase struct {
	name, function, namespace, file, line string
}

var phases = []phase{
	{"Tokenize", "InputProcessor.process_inputs", "vllm.v1.engine.input_processor", "vllm/v1/engine/input_processor.py", "214"},
	{"Add request", "EngineCore.add_request", "vllm.v1.engine.core", "vllm/v1/engine/core.py", "301"},
	{"Schedule", "Scheduler.schedule", "vllm.v1.core.sched.scheduler", "vllm/v1/core/sched/scheduler.py", "189"},
	{"Execute model", "GPUModelRunner.execute_model", "vllm.v1.worker.gpu_model_runner", "vllm/v1/worker/gpu_model_runner.py", "2471"},
	{"Sample tokens", "Sampler.forward", "vllm.v1.sample.sampler", "vllm/v1/sample/sampler.py", "67"},
	{"Update from output", "Scheduler.update_from_output", "vllm.v1.core.sched.scheduler", "vllm/v1/core/sched/scheduler.py", "874"},
	{"Detokenize", "OutputProcessor.process_outputs", "vllm.v1.engine.output_processor", "vllm/v1/engine/output_processor.py", "412"},
}

const spansPerTrace = 8

// newBatch encodes a request of spans spans, a multiple of spansPerTrace.
func newBatch(spans int, seed uint64) *batch {
	b := &batch{random: rand.NewPCG(seed, 0), now: uint64(time.Now().UnixNano())}
	var scope []byte
	scope = message(scope, 1, func(m []byte) []byte { return text(m, 1, "vllm.llm_engine") })
	for range spans / spansPerTrace {
		scope = b.appendTrace(scope)
	}
	resource := message(nil, 1, func(m []byte) []byte {
		m = attribute(m, 1, "service.name", "vllm-server")
		m = attribute(m, 1, "service.instance.id", "dff24cff-7946-4b8c-8661-be8cef83363a")
		m = attribute(m, 1, "telemetry.sdk.language", "python")
		m = attribute(m, 1, "vllm.process_id", "7317")
		return m
	})
	resource = message(resource, 2, func([]byte) []byte { return scope })
	head := len(resource) - len(scope)
	b.body = message(nil, 1, func([]byte) []byte { return resource })
	head += len(b.body) - len(resource)
	for _, trace := range b.traces {
		for i := range trace {
			s := &trace[i]
			for _, at := range []*int{&s.traceID, &s.spanID, &s.parentID, &s.start, &s.end} {
				*at += head
			}
			for n := range s.numbers {
				s.numbers[n] += head
			}
		}
	}
	return b
}

// appendTrace appends a root span with a request's numbers and a span for each phase.
func (b *batch) appendTrace(scope []byte) []byte {
	trace := make([]spanOffsets, 0, spansPerTrace)
	for i := range spansPerTrace {
		var s spanOffsets
		var m []byte
		m, s.traceID = fill(protowire.AppendVarint(protowire.AppendTag(m, 1, protowire.BytesType), 16), 16)
		m, s.spanID = fill(protowire.AppendVarint(protowire.AppendTag(m, 2, protowire.BytesType), 8), 8)
		if i > 0 {
			m, s.parentID = fill(protowire.AppendVarint(protowire.AppendTag(m, 4, protowire.BytesType), 8), 8)
		}
		kind, name := uint64(2), "llm_request"
		if i > 0 {
			kind, name = 1, phases[i-1].name
		}
		m = text(m, 5, name)
		m = protowire.AppendVarint(protowire.AppendTag(m, 6, protowire.VarintType), kind)
		m, s.start = fill(protowire.AppendTag(m, 7, protowire.Fixed64Type), 8)
		m, s.end = fill(protowire.AppendTag(m, 8, protowire.Fixed64Type), 8)
		if i == 0 {
			for _, key := range []string{"gen_ai.latency.time_to_first_token", "gen_ai.latency.e2e", "gen_ai.latency.time_in_queue"} {
				var at int
				m, at = number(m, key)
				s.numbers = append(s.numbers, at)
			}
			m = attribute(m, 9, "gen_ai.response.model", "meta-llama/Llama-3.1-8B-Instruct")
		} else {
			p := phases[i-1]
			m = attribute(m, 9, "code.function", p.function)
			m = attribute(m, 9, "code.namespace", p.namespace)
			m = attribute(m, 9, "code.filepath", p.file)
			m = attribute(m, 9, "code.lineno", p.line)
		}
		m = message(m, 15, func(m []byte) []byte { return m })
		scope = protowire.AppendVarint(protowire.AppendTag(scope, 2, protowire.BytesType), uint64(len(m)))
		at := len(scope)
		for _, place := range []*int{&s.traceID, &s.spanID, &s.parentID, &s.start, &s.end} {
			*place += at
		}
		for n := range s.numbers {
			s.numbers[n] += at
		}
		scope = append(scope, m...)
		trace = append(trace, s)
	}
	b.traces = append(b.traces, trace)
	return scope
}

// next patches the batch into one never sent before and returns the id of its first trace.
func (b *batch) next() (first [16]byte) {
	put := binary.LittleEndian.PutUint64
	for t, trace := range b.traces {
		high, low := b.random.Uint64(), b.random.Uint64()|1
		b.now += 1_000_000 + b.random.Uint64()%1_000_000
		root := b.random.Uint64() | 1
		at := b.now
		for i := range trace {
			s := &trace[i]
			put(b.body[s.traceID:], high)
			put(b.body[s.traceID+8:], low)
			if i == 0 {
				put(b.body[s.spanID:], root)
				put(b.body[s.start:], at)
				put(b.body[s.end:], at+200_000_000+b.random.Uint64()%100_000_000)
				for _, n := range s.numbers {
					put(b.body[n:], math.Float64bits(float64(b.random.Uint64()%1e9)/1e9))
				}
				continue
			}
			put(b.body[s.spanID:], b.random.Uint64()|1)
			put(b.body[s.parentID:], root)
			at += b.random.Uint64() % 10_000_000
			put(b.body[s.start:], at)
			at += b.random.Uint64() % 10_000_000
			put(b.body[s.end:], at)
		}
		if t == 0 {
			copy(first[:], b.body[trace[0].traceID:])
		}
	}
	return first
}

func fill(m []byte, size int) ([]byte, int) { return append(m, make([]byte, size)...), len(m) }

func text(m []byte, num protowire.Number, s string) []byte {
	return protowire.AppendString(protowire.AppendTag(m, num, protowire.BytesType), s)
}

func message(m []byte, num protowire.Number, content func([]byte) []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(m, num, protowire.BytesType), content(nil))
}

func attribute(m []byte, num protowire.Number, key, value string) []byte {
	return message(m, num, func(m []byte) []byte {
		return message(text(m, 1, key), 2, func(m []byte) []byte { return text(m, 1, value) })
	})
}

// number appends an attribute with a double and returns the double's place.
func number(m []byte, key string) ([]byte, int) {
	m = message(m, 9, func(m []byte) []byte {
		return message(text(m, 1, key), 2, func(m []byte) []byte {
			m, _ = fill(protowire.AppendTag(m, 4, protowire.Fixed64Type), 8)
			return m
		})
	})
	return m, len(m) - 8
}
