package proctree

import (
	"time"

	"golang.org/x/sys/unix"
)

// clocks are the system's clocks at one moment.
type clocks struct {
	wall time.Time
	mono int64 // nanoseconds, what process events are stamped with
	boot int64 // nanoseconds, what starts in /proc are reckoned by
}

func readClocks() clocks {
	return clocks{wall: time.Now(), mono: nanoseconds(unix.CLOCK_MONOTONIC), boot: nanoseconds(unix.CLOCK_BOOTTIME)}
}

func nanoseconds(clock int32) int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(clock, &t); err != nil {
		return 0
	}
	return t.Nano()
}

// atTick is the wall clock's time of a tick since boot: when a process of that start began, at most a tick later.
func (c clocks) atTick(ticks uint64) time.Time {
	return c.wall.Add(time.Duration(int64(ticks)*int64(tick) - c.boot))
}

// atEvent is the wall clock's time of an event.
func (c clocks) atEvent(mono int64) time.Time { return c.wall.Add(time.Duration(mono - c.mono)) }

// tickOf is the tick since boot of an event.
func (c clocks) tickOf(mono int64) uint64 { return uint64(max(0, mono-c.mono+c.boot)) / uint64(tick) }
