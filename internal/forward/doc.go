// Package forward passes trace requests on to the backend that the user has set, as they came and while they come.
//
// It keeps what waits in memory and never makes its caller wait: what could not be passed on in time is counted, and is
// still in the store.
package forward
