package genai

import (
	"context"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// Names of the client metrics of the GenAI conventions.
const (
	metricDuration          = "gen_ai.client.inference.duration"
	metricEmbeddings        = "gen_ai.client.operation.duration" // the conventions keep it for what is no inference
	metricFirstChunk        = "gen_ai.client.inference.time_to_first_chunk"
	metricPerChunk          = "gen_ai.client.inference.time_per_output_chunk"
	metricInput             = "gen_ai.client.inference.usage.input_tokens"
	metricOutput            = "gen_ai.client.inference.usage.output_tokens"
	metricCacheRead         = "gen_ai.client.inference.usage.cache_read.input_tokens"
	metricCacheWrite        = "gen_ai.client.inference.usage.cache_write.input_tokens"
	metricReasoning         = "gen_ai.client.inference.usage.reasoning.output_tokens"
	metricInputPerRequest   = "gen_ai.client.inference.operation.input_tokens"
	metricOutputPerRequest  = "gen_ai.client.inference.operation.output_tokens"
	metricDescriptionPrefix = "GenAI client: "
)

// Buckets that the conventions advise.
var (
	durationBuckets   = []float64{0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92}
	firstChunkBuckets = []float64{0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}
	perChunkBuckets   = []float64{0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5}
	tokenBuckets      = []float64{
		1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864,
	}
)

// instruments are made once a recorder.
type instruments struct {
	duration, embeddings, firstChunk, perChunk metric.Float64Histogram
	inputPerRequest, outputPerRequest          metric.Int64Histogram
	input, output, cacheRead, cacheWrite       metric.Int64Counter
	reasoning                                  metric.Int64Counter
}

// newInstruments reports bad instruments to OpenTelemetry's error handler; they are usable nevertheless.
func newInstruments(mp metric.MeterProvider) *instruments {
	meter := mp.Meter(ScopeName)
	seconds := func(name, what string, buckets []float64) metric.Float64Histogram {
		h, err := meter.Float64Histogram(name, metric.WithUnit("s"),
			metric.WithDescription(metricDescriptionPrefix+what), metric.WithExplicitBucketBoundaries(buckets...))
		handle(err)
		return h
	}
	perRequest := func(name, what string) metric.Int64Histogram {
		h, err := meter.Int64Histogram(name, metric.WithUnit("{token}"),
			metric.WithDescription(metricDescriptionPrefix+what), metric.WithExplicitBucketBoundaries(tokenBuckets...))
		handle(err)
		return h
	}
	tokens := func(name, what string) metric.Int64Counter {
		c, err := meter.Int64Counter(name, metric.WithUnit("{token}"),
			metric.WithDescription(metricDescriptionPrefix+what))
		handle(err)
		return c
	}
	return &instruments{
		duration:         seconds(metricDuration, "duration of requests for generation", durationBuckets),
		embeddings:       seconds(metricEmbeddings, "duration of other requests", durationBuckets),
		firstChunk:       seconds(metricFirstChunk, "time to the first event of a stream", firstChunkBuckets),
		perChunk:         seconds(metricPerChunk, "time between the events of a stream", perChunkBuckets),
		inputPerRequest:  perRequest(metricInputPerRequest, "tokens of the prompt of one request"),
		outputPerRequest: perRequest(metricOutputPerRequest, "tokens generated for one request"),
		input:            tokens(metricInput, "tokens of prompts"),
		output:           tokens(metricOutput, "tokens generated"),
		cacheRead:        tokens(metricCacheRead, "tokens of prompts read from a cache"),
		cacheWrite:       tokens(metricCacheWrite, "tokens of prompts written to a cache"),
		reasoning:        tokens(metricReasoning, "tokens spent on reasoning"),
	}
}

func handle(err error) {
	if err != nil {
		otel.Handle(err)
	}
}

// record measures a request that has ended. Requests of no known API are not measured.
func (m *instruments) record(ctx context.Context, c *Call) {
	if c.Operation == "" {
		return
	}
	var buf [8]attribute.KeyValue
	to := append(buf[:0], attribute.String(AttrOperationName, c.Operation))
	to = addString(to, AttrProviderName, c.Provider)
	to = addString(to, AttrRequestModel, c.RequestModel)
	to = addString(to, AttrResponseModel, c.ResponseModel)
	to = addString(to, AttrServerAddress, c.ServerAddress)
	if c.ServerAddress != "" && c.ServerPort > 0 {
		to = append(to, attribute.Int(AttrServerPort, c.ServerPort))
	}
	set := metric.WithAttributeSet(attribute.NewSet(to...))
	withError := set
	if c.ErrorType != "" {
		withError = metric.WithAttributeSet(attribute.NewSet(append(to, attribute.String(AttrErrorType, c.ErrorType))...))
	}
	if c.Operation == OperationEmbeddings {
		recordSeconds(ctx, m.embeddings, c.Latency.Total, withError)
		return
	}
	recordSeconds(ctx, m.duration, c.Latency.Total, withError)
	recordSeconds(ctx, m.firstChunk, c.Latency.FirstEvent, set)
	for gap := range c.Gaps.All() {
		m.perChunk.Record(ctx, gap.Seconds(), set)
	}
	u := c.Usage
	for _, count := range [...]struct {
		counter metric.Int64Counter
		n       Opt[int64]
	}{{m.input, u.Input}, {m.output, u.Output}, {m.cacheRead, u.CacheRead}, {m.cacheWrite, u.CacheWrite},
		{m.reasoning, u.Reasoning}} {
		if count.n.Set {
			count.counter.Add(ctx, count.n.Value, set)
		}
	}
	if u.Input.Set {
		m.inputPerRequest.Record(ctx, u.Input.Value, set)
	}
	if u.Output.Set {
		m.outputPerRequest.Record(ctx, u.Output.Value, set)
	}
}

func recordSeconds(ctx context.Context, h metric.Float64Histogram, d Opt[time.Duration], set metric.RecordOption) {
	if d.Set {
		h.Record(ctx, d.Value.Seconds(), set)
	}
}
