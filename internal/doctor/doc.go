// Package doctor finds out why spans do not arrive: it resolves how this environment exports traces, goes the way that an exporter
// would go step by step, and looks at the store and the machine. It changes nothing.
package doctor
