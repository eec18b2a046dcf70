// Package timeline lays a trace out: rows, groups of equal siblings, requests told apart from start-up. The terminal and
// the page both draw what it returns.
package timeline
