package cli

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/recovery"
	"forkspan.dev/forkspan/internal/store"
)

// How often a run that is followed is looked at, and drawn at most. Drawing takes at most one part in so many of the time.
const (
	followStep  = 250 * time.Millisecond
	followShare = 5
)

// follow draws a run again and again while it goes on, and at its end once as show does. Where there is no terminal to draw on,
// it only waits for the end.
func (a *app) follow(ctx context.Context, ref string, f showFlags) error {
	r, err := a.resolve(ctx, ref)
	if err != nil {
		return err
	}
	defer r.close()
	if r.run == nil {
		return &exitError{status: statusUsage, err: errors.New("show: --follow is for runs; files and traces do not go on")}
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	var s *screen
	if _, _, terminal := terminalSize(a.Stdout); terminal && !f.json && a.Env("TERM") != "dumb" && enableColors(a.Stdout) {
		s = &screen{w: a.Stdout}
		defer s.close()
	}
	if err := a.followRun(ctx, r.db, r.run, f, s); err != nil {
		if ctx.Err() != nil {
			const status = 130 // that of a program that SIGINT has ended
			return &exitError{status: status}
		}
		return err
	}
	s.clear()
	if r.run.Exit == nil { // killed, and its journals are left
		a.recoverJournals(ctx, r.db, a.note)
	}
	src, err := a.loadFound(ctx, r)
	if err != nil {
		return err
	}
	return a.printSource(src, f)
}

// followRun returns when the run has ended. s is nil when nothing is to be drawn until then.
func (a *app) followRun(ctx context.Context, db *store.Store, run *store.Run, f showFlags, s *screen) error {
	var spans []otlp.Span
	var last int64 // request
	for run.Exit == nil && recovery.Alive(*run) {
		began := time.Now()
		if s != nil {
			var err error
			if spans, last, err = readOn(ctx, db, run.ID, spans, last); err != nil {
				return err
			}
			if err := a.drawFrame(ctx, db, *run, spans, f, s); err != nil {
				return err
			}
		}
		select {
		case <-time.After(max(followStep, followShare*time.Since(began))):
		case <-ctx.Done():
			return ctx.Err()
		}
		now, err := db.FindRun(ctx, run.ID)
		if err != nil {
			return err
		}
		*run = now
	}
	return nil
}

// readOn appends the spans of a run's requests after the last.
func readOn(ctx context.Context, db *store.Store, run string, spans []otlp.Span, last int64) ([]otlp.Span, int64, error) {
	for {
		page, err := db.RequestsAfter(ctx, run, last)
		if err != nil || len(page) == 0 {
			return spans, last, err
		}
		for _, request := range page {
			decoded, err := otlp.Decode(request.Body)
			if err != nil {
				return spans, last, fmt.Errorf("read run %s: %w", run, err)
			}
			spans, last = append(spans, decoded...), request.ID
		}
	}
}

// drawFrame draws what there is of the run as it fits the screen.
func (a *app) drawFrame(ctx context.Context, db *store.Store, run store.Run, spans []otlp.Span, f showFlags, s *screen) error {
	src, err := sourceOfRun(ctx, db, run, spans)
	if err != nil {
		return err
	}
	columns, lines, _ := terminalSize(a.Stdout)
	var frame bytes.Buffer
	out := bufio.NewWriter(&frame)
	if err := a.writeSource(out, src, f); err != nil {
		return err
	}
	_ = out.Flush() // to memory
	return s.draw(frame.Bytes(), columns, lines)
}

// screen draws frames in place on a terminal, with the sequences of ECMA-48 and the DEC modes that all terminals of today know.
type screen struct {
	w              io.Writer
	last           []byte // as drawn
	height         int    // lines of it
	columns, lines int
}

// draw replaces the frame by another, cut to the terminal's height. Nothing is written when it is the same.
func (s *screen) draw(frame []byte, columns, lines int) error {
	var kept [][]byte
	for line := range bytes.Lines(frame) {
		if lines > 1 && len(kept) == lines-1 {
			break
		}
		kept = append(kept, bytes.TrimSuffix(line, []byte("\n")))
	}
	frame = bytes.Join(kept, []byte("\n"))
	resized := s.last != nil && (columns != s.columns || lines != s.lines)
	if !resized && bytes.Equal(frame, s.last) {
		return nil
	}
	var out bytes.Buffer
	out.WriteString("\x1b[?25l\x1b[?7l") // no cursor, and no line that is too long becomes two
	switch {
	case resized:
		out.WriteString("\x1b[2J\x1b[H") // nobody knows what the terminal has made of the lines
	case s.height > 0:
		fmt.Fprintf(&out, "\x1b[%dF", s.height)
	}
	for _, line := range kept {
		out.Write(line)
		out.WriteString("\x1b[K\n")
	}
	out.WriteString("\x1b[J\x1b[?7h")
	s.last, s.height, s.columns, s.lines = frame, len(kept), columns, lines
	if _, err := s.w.Write(out.Bytes()); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

// clear takes the frame away.
func (s *screen) clear() {
	if s != nil && s.height > 0 {
		fmt.Fprintf(s.w, "\x1b[%dF\x1b[J", s.height)
		s.height = 0
	}
}

// close gives the terminal its cursor back.
func (s *screen) close() {
	if s.last != nil {
		_, _ = io.WriteString(s.w, "\x1b[?25h")
	}
}
