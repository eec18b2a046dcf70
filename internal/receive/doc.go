// Package receive takes OTLP traces in: gRPC and HTTP on one port.
package receive
