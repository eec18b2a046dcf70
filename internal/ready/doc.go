// Package ready tells when a server that was started is ready: when a URL answers, a port accepts, or a span has arrived.
package ready
