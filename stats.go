package forkspan

// Stats is the account of a tracer's sampled spans. Every span that ended is in exactly one of Exported, Rejected, Failed,
// QueueFull, AfterShutdown and Queued; every span that started has ended or is in Unfinished.
//
// Spans that the sampler left out are not in it. With [WithoutExport] ended spans are not counted further.
type Stats struct {
	Started    uint64 // spans started
	Ended      uint64 // of these, ended before [Tracer.Shutdown]
	Unfinished uint64 // started and not ended; after Shutdown they are lost

	Queued   uint64 // ended, waiting for export or being exported
	Exported uint64 // taken by the collector, or by the journal of a forkspan run
	Rejected uint64 // turned down by the collector in a partial success
	Failed   uint64 // lost with an export that failed after its retries, or whose outcome Shutdown did not wait for

	QueueFull     uint64 // lost because the queue was full (OTEL_BSP_MAX_QUEUE_SIZE)
	AfterShutdown uint64 // lost because Shutdown's time ran out before their export was tried

	Unjournaled uint64 // starts and ends of spans that the journal did not take; what ends is exported all the same

	// Of WithJournal.
	Recovered   uint64 // spans of dead processes that were exported
	Interrupted uint64 // spans of dead processes that had not ended, and were left out
}

// Lost is the number of ended spans that did not arrive.
func (s Stats) Lost() uint64 {
	return s.Rejected + s.Failed + s.QueueFull + s.AfterShutdown
}

// Stats returns the account so far. It may be called at any time, also after [Tracer.Shutdown]. A disabled tracer's is
// zero.
func (t *Tracer) Stats() Stats {
	if t == nil || t.batch == nil {
		return Stats{}
	}
	s := t.batch.stats()
	if t.runJournal != nil {
		s.Unjournaled = t.runJournal.Stats().Lost
	}
	if t.journal != nil {
		s.Unjournaled = t.journal.Writer.Stats().Lost
		s.Recovered, s.Interrupted = t.journal.recovered.Load(), t.journal.interrupted.Load()
	}
	return s
}
