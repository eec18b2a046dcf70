// Package spanfile reads and writes files of spans: OTLP in every form that tools write it, folders of journals, and what a file of
// ours says besides of the run that the spans belong to.
package spanfile
