// Package scriptspan holds what `forkspan span` knows of spans that scripts make: how times, attributes and parents are written on
// a command line, what is kept of a span between the process that starts it and the one that ends it, and how its context
// reaches the commands after it.
package scriptspan
