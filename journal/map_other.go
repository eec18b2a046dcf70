//go:build !linux && !darwin

package journal

import (
	"errors"
	"os"
)

const mappingLocks = false

// allocate says that f is to be written to plainly.
func allocate(*os.File, int64) (mappable bool, err error) { return false, nil }

func mapFile(*os.File, int) ([]byte, error) { return nil, errors.ErrUnsupported }

func mayMap(*os.File) bool { return false }

func mapReadOnly(*os.File, int) ([]byte, error) { return nil, errors.ErrUnsupported }

func unmapFile([]byte) error { return nil }

func faultIn([]byte) error { return nil }
