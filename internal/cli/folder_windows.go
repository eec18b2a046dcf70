package cli

import "os"

// writableFolder tells whether path is a folder: what may be done there Windows tells only who tries.
func writableFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
