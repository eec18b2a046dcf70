// Package endpoint reads the places that spans are sent to. It exists because neither Go's exporters nor net/url read what
// vLLM's Python reads: to them localhost:4317 is a URL with the scheme localhost.
package endpoint
