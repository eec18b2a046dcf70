// Package demo is a small model server of several processes for `forkspan demo`: an API server, an engine core and two
// workers, which pretend to load a model, answer a few requests and lose a worker. They use the forkspan library as any
// program would.
package demo
