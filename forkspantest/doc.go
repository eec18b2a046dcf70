// Package forkspantest is for tests of programs that use forkspan, or any other OpenTelemetry instrumentation.
//
// A [Recorder] keeps the spans of this process. [Install] makes it the tracer of package forkspan for one test, and puts
// everything back when the test ends.
//
// A [Collector] is an OpenTelemetry collector in this process, for tests that are about exporting: it speaks OTLP/gRPC and
// OTLP/HTTP on one loopback port, keeps what it is sent, and can be told to answer slowly, with an error, with garbage or not
// at all.
//
// Both draw what they hold as a tree, one line a span, which is the shortest way to say in a test what a program did:
//
//	start
//	  load model [error: no such file]
//
// Both wait for events, so that no test needs to sleep.
package forkspantest
