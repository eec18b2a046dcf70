// Package ownproc tells whether /proc is about the processes that we know.
package ownproc
