//go:build !windows

package cli

import "io"

// enableColors tells whether the terminal behind w understands ANSI colours.
func enableColors(io.Writer) bool { return true }
