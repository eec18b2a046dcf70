// Package store is the embedded trace store: one SQLite file that several forkspan processes share.
//
// A row is one OTLP request as it arrived, compressed, with a summary per trace; spans are decoded when they are read.
package store
