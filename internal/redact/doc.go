// Package redact takes secrets out of text before forkspan writes it anywhere: command lines, URLs, headers, environments and
// error texts.
//
// It knows secrets by the name in front of them (a flag, a variable, a header, a field), by their own shape (keys of well-known
// services, JSON web tokens, private keys), by their place in a URL, and by the program whose argument they are. It would
// rather hide too much than too little, but leaves a command readable: names stay, and so do files, counts and switches.
package redact
