// Package journal keeps a process's spans where its death cannot take them: in files that are mapped into memory, so that a
// span is safe as soon as its Start or End has returned, even if the process is killed in the next instruction.
//
// A [Writer] is a span processor. It writes a record when a span starts and one when it ends; what the exporter has taken is
// released, and a program that ends in order leaves nothing behind. [Recover] hands on what dead processes left, with the
// spans that had not ended; [All] also looks at journals of processes that live, and a [Tail] follows them.
//
// The format is in FORMAT.md; any language can write it. The files survive processes, not power cuts: nothing is synced.
package journal
