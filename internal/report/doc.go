// Package report works figures out of recorded spans.
//
// # Requests
//
// A request span is a span that [genai.ReadCall] takes for a request to a model: those of forkspan's proxy, middleware and
// transport, vLLM's llm_request, and those of other instrumentations. Request spans below each other, whatever spans lie
// between them, are one request: the outermost is the client's view, which may be a caller in front of several gateways. The
// server's view are the llm_request spans below it (several where one call asked for several choices or has several prompts),
// or else the innermost SERVER span. What the outermost span does not know is taken from the client spans below it. An
// llm_request below no other request span is a request that only its server has told of.
//
// Measures, each of the requests that know it:
//
//   - first token: arrival to first token.
//   - inter-token: mean time between tokens after the first, one figure a request.
//   - end to end: arrival to end.
//   - queue, prefill, decode: waiting to be scheduled, scheduled to first token, first to last token; as the server tells them.
//   - tokens/s: the inverse of inter-token, one figure a request. Its slow end is the low one.
//   - difference: the client's figure less the server's of the same request (the earliest first token and the latest end of
//     several spans): the network, the front end, and whatever lies between.
//
// Times are those of requests that finished well, unless only failed ones are asked for. Percentiles are exact, by nearest
// rank: p99 is the least of the figures that is not exceeded by 99 % of them.
package report
