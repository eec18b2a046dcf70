// Package lineage joins the processes of a run with the spans that came from them: how long each took to its first span, and
// which ran without sending any.
package lineage
