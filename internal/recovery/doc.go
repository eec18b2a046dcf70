// Package recovery puts into the store what runs have left in journals whose forkspan was killed. It knows where the folders for
// journals are, and whether the forkspan of a run is still there.
package recovery
