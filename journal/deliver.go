package journal

import (
	"errors"
	"os"
)

// Deliver hands the finished spans to send, in requests as [Journal.Requests] has them. Those that send takes, by returning nil, are
// noted in the journal's files: whoever reads it next does not get them. Deliver goes on after an error, and returns all.
//
// It is for journals that [Recover] hands on: nobody else may read or write them meanwhile.
func (j *Journal) Deliver(send func(request []byte) error) error { return deliver(j.finished, send) }

// DeliverUnfinished does so with the spans that have started only, which are in requests as [Journal.UnfinishedRequests] has them.
func (j *Journal) DeliverUnfinished(send func(request []byte) error) error {
	return deliver(j.unfinished, send)
}

func deliver(spans []span, send func([]byte) error) error {
	var errs []error
	for batch := range batches(spans) {
		if err := send(request(batch)); err != nil {
			errs = append(errs, err)
			continue
		}
		markTaken(batch)
	}
	return errors.Join(errs...)
}

// markTaken notes in their segments that spans have been taken. What cannot be noted comes twice.
func markTaken(spans []span) {
	var f *os.File
	defer func() { _ = f.Close() }()
	for _, s := range spans {
		if f == nil || f.Name() != s.at.path {
			_ = f.Close() // of nil, too
			var err error
			if f, err = os.OpenFile(s.at.path, os.O_WRONLY, 0); err != nil {
				f = nil
				continue
			}
		}
		_, _ = f.WriteAt([]byte{stateDone}, s.at.offset+atState)
	}
}
