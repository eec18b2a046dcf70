package cli

import (
	"context"
	"errors"
	"io"

	"forkspan.dev/forkspan/internal/spanfile"
	"forkspan.dev/forkspan/internal/store"
)

// writeFile writes the run to path, in the format and with the compression that its name asks for.
func (r *localRun) writeFile(path string) error {
	return spanfile.Place(path, func(w io.Writer) error {
		f, err := spanfile.NewWriter(w, path, spanfile.FormatByName(path))
		if err != nil {
			return err
		}
		f.Processes = r.flags.outputProcesses
		f.Redact = r.storing.redact // as the store has it, for what fell back to none
		var processes []store.Process
		if st := r.writable(); st != nil {
			if processes, err = st.Tree(context.Background(), r.runID); err != nil {
				return err
			}
		}
		return errors.Join(f.AddRun(r.record, processes, r.requests), f.Finish())
	})
}
