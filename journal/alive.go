package journal

// alive tells whether the process that wrote a segment is still there. locked asks whether somebody holds the lock on the
// writer's files; only that tells about processes of another pid namespace, such as another container.
func (id identity) alive(here identity, locked func() bool) bool {
	if id.boot != here.boot && id.boot != [16]byte{} && here.boot != [16]byte{} {
		return false
	}
	if id.namespace != here.namespace {
		return locked()
	}
	start, is := exists(int(id.pid))
	return is && (start == id.start || start == 0 || id.start == 0)
}
