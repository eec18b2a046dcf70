package journal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
)

// ErrBusy is the error of a [Recover] while another is at work in the same folder.
var ErrBusy = errors.New("journals are being recovered by another process")

// Recover calls take with each journal in the folder dir whose process is dead, or whose Writer was shut down, and then
// removes it. When take returns an error the journal is left for the next time, and Recover goes on with the others. It
// returns all errors, and ctx's when ctx is done before the end.
//
// Only one Recover works in a folder at a time. If the process dies between take and the removal, the spans come again, but for
// those that [Journal.Deliver] has noted.
func Recover(ctx context.Context, dir string, take func(*Journal) error) error {
	unlock, err := lockFolder(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("recover journals: %w", err)
	}
	defer unlock()
	var errs []error
	for j, err := range All(dir) {
		if ctx.Err() != nil {
			return errors.Join(append(errs, ctx.Err())...)
		}
		if err != nil {
			errs = append(errs, err)
		}
		if j == nil || j.Alive || err != nil {
			continue
		}
		if j.Finished+j.Unfinished+j.Damaged > 0 {
			err = take(j)
		}
		if err == nil {
			err = j.Remove()
		}
		if err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
