package proctree

import "encoding/binary"

// eventKind is what a process event tells (linux/cn_proc.h).
type eventKind uint32

const (
	eventAck  eventKind = 0
	eventFork eventKind = 0x1
	eventExec eventKind = 0x2
	eventComm eventKind = 0x200
	eventExit eventKind = 0x80000000
)

// event is a message of the kernel's process connector.
type event struct {
	kind    eventKind
	answer  uint32 // of an acknowledgement: one more than the request's number
	err     uint32 // of an acknowledgement
	time    int64  // nanoseconds of CLOCK_MONOTONIC
	thread  int    // equal to process for the first thread
	process int
	parent  int // of a fork: the process that it is a child of
	status  int // of an exit, as wait gives it
	comm    string
}

// Where the parts of a message are: after a netlink header of 16 bytes and a connector header of 20 comes the event, whose
// data follow at its byte 16.
const (
	offsetAck   = 16 + 12
	offsetEvent = 16 + 20
	offsetData  = offsetEvent + 16
)

// parseEvent reads a message. It is not ok for those that are of no interest.
func parseEvent(message []byte) (e event, ok bool) {
	const idProcess = 1 // CN_IDX_PROC and CN_VAL_PROC
	if len(message) < offsetData+8 || word(message, 16) != idProcess || word(message, 20) != idProcess {
		return event{}, false
	}
	e = event{
		kind: eventKind(word(message, offsetEvent)),
		time: int64(binary.NativeEndian.Uint64(message[offsetEvent+8:])),
	}
	data := message[offsetData:]
	switch {
	case e.kind == eventAck:
		e.answer, e.err = word(message, offsetAck), word(data, 0)
	case e.kind == eventFork && len(data) >= 16:
		e.parent, e.thread, e.process = int(word(data, 4)), int(word(data, 8)), int(word(data, 12))
	case e.kind == eventExec:
		e.thread, e.process = int(word(data, 0)), int(word(data, 4))
	case e.kind == eventComm && len(data) >= 24:
		e.thread, e.process = int(word(data, 0)), int(word(data, 4))
		e.comm = textOf(data[8:24])
	case e.kind == eventExit && len(data) >= 12:
		e.thread, e.process, e.status = int(word(data, 0)), int(word(data, 4)), int(word(data, 8))
	default:
		return event{}, false
	}
	return e, true
}

func word(b []byte, at int) uint32 { return binary.NativeEndian.Uint32(b[at:]) }

// textOf is a text that a NUL ends.
func textOf(b []byte) string {
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}
