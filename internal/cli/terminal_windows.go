package cli

import (
	"io"
	"os"

	"golang.org/x/sys/windows"
)

// enableColors switches ANSI colours on in a Windows console, which starts without, and tells whether that worked.
func enableColors(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return true
	}
	handle := windows.Handle(f.Fd())
	var mode uint32
	if windows.GetConsoleMode(handle, &mode) != nil {
		return true // a pipe, asked for by --color=always
	}
	return windows.SetConsoleMode(handle, mode|windows.ENABLE_VIRTUAL_TERMINAL_PROCESSING) == nil
}
