// Package commandspan makes the spans that forkspan records by itself: that of a supervised command, and that of its start-up.
package commandspan
