// Package forkspan traces programs that are many processes: model servers, build systems, batch jobs.
//
// One call sets tracing up from the OTEL_* environment and hands it on to the processes that are started later:
//
//	tr, err := forkspan.Init(ctx, "llm-d.router")
//	if err != nil {
//		slog.Warn("tracing", "err", err) // tr is usable all the same
//	}
//	defer tr.Shutdown(ctx)
//
// # Which of these do I want?
//
//   - A span around a function: [Start] with a deferred [End], or [Do], or [Wrap].
//   - A span after the fact, with times of your own: [Record].
//   - The trace in a child process: [Command], [Propagate] or [Environ]; [Setenv] for code that starts children by itself.
//   - The caller's trace in a server: [Extract].
//   - Spans of other libraries (otelhttp, otelgrpc): nothing. [Init] sets OpenTelemetry's global provider and propagator.
//
// # Parents
//
// A span started with forkspan is a child of the span in its context. Where there is none it is a child of the span that
// the environment names in traceparent (or TRACEPARENT), as the parent process left it; see [ParentContext]. Spans that
// other libraries start through OpenTelemetry's own API know only the context.
//
// # When tracing is off
//
// Without an endpoint in the environment, and without an option that says where spans go, tracing is disabled: every call
// here is cheap, does not allocate, and does nothing. Recording calls never return errors, never block on the network and
// never panic.
//
// # Relation to vLLM
//
// The rules are those of vLLM's own tracing package (vllm.tracing), so that Go and Python processes join in one trace:
// the same environment variables, attribute keys, value types and parents. Where this package does otherwise, the comment
// of the function says so and why.
package forkspan
