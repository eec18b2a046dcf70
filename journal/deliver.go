package journal

import "os"

// Deliver hands the finished spans to send, in requests as [Journal.Requests] has them. Those that send has taken are noted in the
// journal's files: whoever reads it next does not get them. It ends with the first error of send.
//
// It is for journals that [Recover] hands on: nobody else may read or write them meanwhile.
func (j *Journal) Deliver(send func(request []byte) (taken bool, err error)) error {
	return deliver(j.finished, send)
}

// DeliverUnfinished does so with the spans that have started only, which are in requests as [Journal.UnfinishedRequests] has them.
func (j *Journal) DeliverUnfinished(send func(request []byte) (taken bool, err error)) error {
	return deliver(j.unfinished, send)
}

func deliver(spans []span, send func([]byte) (bool, error)) error {
	for batch := range batches(spans) {
		taken, err := send(request(batch))
		if taken {
			markTaken(batch)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// markTaken notes in their segments that spans have been taken. What cannot be noted comes twice.
func markTaken(spans []span) {
	var f *os.File
	defer func() { _ = f.Close() }() // of nil, too
	mark := func(at recordPlace) {
		if f == nil || f.Name() != at.path {
			_ = f.Close()
			f, _ = os.OpenFile(at.path, os.O_WRONLY, 0)
		}
		_, _ = f.WriteAt([]byte{stateDone}, at.offset+atState)
	}
	for _, s := range spans {
		mark(s.at)
		for _, at := range s.copies {
			mark(at)
		}
	}
}
