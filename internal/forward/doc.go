// Package forward passes stored requests on to a backend that the user has named.
//
// A Forwarder reads the requests of one run from the store, in order and while they come, and writes down there how far it has
// come: what a backend could not take waits in the store for as long as it must, whichever forkspan sends it in the end. A
// request is sent at least once. What a backend refuses for good is kept as a dead letter, which can be sent again.
package forward
