// Package redact takes secrets out of text before forkspan writes it anywhere: command lines, URLs and error texts.
//
// It knows secrets by the name in front of them (a flag, a variable, a header), by their own shape (keys of well-known
// services, JSON web tokens, private keys) and by their place in a URL. It would rather hide too much than too little.
package redact
