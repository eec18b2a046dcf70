// Package genaihttp observes requests to LLM servers where they pass as HTTP: [Handler] in a server, [Transport] in a client.
//
// A gateway uses both around its own code, or around an httputil.ReverseProxy:
//
//	proxy := &httputil.ReverseProxy{Rewrite: route, FlushInterval: -1, Transport: genaihttp.Transport(nil)}
//	http.ListenAndServe(addr, genaihttp.Handler(proxy))
//
// Each request is then a SERVER span, a child of the caller's span where the request has trace headers, and below it a CLIENT
// span "{operation} {model}" with everything that package genai records: time to first token, usage, finish reasons, how it
// ended. The server upstream gets exactly one traceparent, that of the CLIENT span. A Handler alone records the same on its
// SERVER span.
//
// # Bytes
//
// Bytes pass first and untouched, and are parsed when they have gone out: a chunk is looked at when the next one is asked
// for. Nothing of a body is kept beyond the request, and prompts, answers and headers are never recorded.
//
// # Request bodies
//
// Of a request to an LLM the first MiB of the body ([genai.MaxRequestBody]) is read before it is sent on: the span needs its
// model, and a server that answers at once must not meet a body that is still being read. (A bare httputil.ReverseProxy
// may lose such answers: writing the answer's header closes the inbound body, the transport's look for the
// body's end then fails and drops the connection upstream; https://go.dev/issue/40747.) Handler does so when its body is
// first read, whoever reads it, so that a ReverseProxy with any transport is safe behind it. What is longer streams, and the
// inbound body is never read past its end.
package genaihttp
