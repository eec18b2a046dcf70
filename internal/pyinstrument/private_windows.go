package pyinstrument

import (
	"fmt"
	"os"
)

// private returns an error unless dir is a folder. The user's folders are private here as they are.
func private(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is no folder", dir)
	}
	return nil
}
