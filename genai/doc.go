// Package genai records requests to LLM servers as OpenTelemetry spans.
//
// A [Recorder] is given a request and its answer as bytes in time, whatever the door they come through: a reverse proxy, an
// http.RoundTripper, an Envoy ext_proc server. It understands the APIs of OpenAI (chat completions, completions, responses,
// embeddings), Anthropic (messages), llama.cpp (/completion) and Ollama (chat, generate), as JSON, as event streams and as
// lines of JSON, and records when the first and the last token came, what was used and how it ended. It never touches the
// bytes, and prompts, answers and error texts are never recorded.
//
// # Marks
//
// A mark is a point in time. One that did not happen is unset, never zero.
//
//   - received: the request arrived ([RequestInfo].Received).
//   - headers: the header of the answer arrived.
//   - first event: the first event of a streamed answer was complete. Comments and keep-alives are not events.
//   - first token: the first event that carries a generated token, of any channel: text, reasoning (under the names
//     reasoning and reasoning_content, or as thinking), arguments of a tool call. An event that carries only a role, or only
//     the name of a tool, does not count. An event with empty text counts where the wire tells that a token stands behind
//     it: servers hold text back until its UTF-8 is complete and send "" meanwhile. That is so for a delta with empty text
//     and no role before the finish reason, and in an event with a finish reason only where it has vLLM's token_ids or
//     stop_reason.
//   - first text: the first event with visible text that is not empty. Reasoning and tool calls are not visible text.
//   - last token: the last event that carries a token.
//   - gaps: the time between each two successive events that carry tokens.
//   - end: the answer was complete, or the request failed.
//
// Marks of tokens exist for streamed answers only: a plain JSON answer does not tell when its tokens were made.
//
// An event has the time of the bytes that completed it.
//
// From the marks follow: time to first token (first token - received), time per output token ((last token - first token) /
// (output tokens - 1), with the server's own token count), inter-chunk gaps, and duration (end - received).
//
// # What is written
//
// One span a request, named "{operation} {model}", kind CLIENT, with the attributes of the current GenAI conventions, those of
// vLLM besides with [WithVLLMNames], and forkspan's own for what no convention has; all names are constants of this package.
// The event "first token" lies at that mark. Durations that a server reports itself (llama.cpp's timings, Ollama's *_duration)
// become child spans load, prefill and decode with [AttrDerived]: their lengths are the server's, their places are drawn. The
// status is Error, with error.type, for all that did not finish. [WithMeterProvider] adds the client metrics of the conventions.
//
// [ReadCall] reads requests from the spans of others: older conventions, vLLM, OpenInference, Traceloop.
//
// # Bounds
//
// Of a request's body 1 MiB is looked at, an event is understood up to 4 MiB ([WithMaxEvent]), 16,384 gaps are kept. An event
// that is larger or unsound, and an answer in an unknown Content-Encoding, is counted ([AttrUnparsed]) and does no harm.
package genai
