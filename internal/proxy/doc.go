// Package proxy is the reverse proxy of `forkspan proxy` and `run --proxy`: one LLM server, every request to it recorded.
//
// The bytes of requests and answers pass as they are, each as soon as it comes. Spans go to a [Sink]; the proxy waits for it
// nowhere.
package proxy
