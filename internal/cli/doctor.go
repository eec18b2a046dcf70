package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"forkspan.dev/forkspan/internal/doctor"
	"forkspan.dev/forkspan/internal/timeline"
)

const doctorLong = `Find out why spans do not arrive. doctor resolves how programs in this environment export traces, goes their way to the
endpoint step by step (name, connection, TLS, protocol, credentials), and looks at sampling, the store and the machine.
It sends one empty request, and with --send one span; it changes nothing.

The exit status is 1 when there is a problem; warnings alone leave it 0.`

const doctorExample = `  forkspan doctor
  forkspan doctor --endpoint https://otel.example.com:4317 --send
  forkspan run -q -- forkspan doctor           # what a command in a run sees
  forkspan doctor --json | jq '.checks[] | select(.status == "problem")'`

type doctorFlags struct {
	endpoint, protocol string
	send, json         bool
	timeout            time.Duration
}

func newDoctor(a *app) *cobra.Command {
	var f doctorFlags
	cmd := &cobra.Command{
		Use:     "doctor",
		Short:   "Find out why spans do not arrive",
		Long:    doctorLong,
		Example: doctorExample,
		Args:    noArguments,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.doctor(cmd.Context(), f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.endpoint, "endpoint", "", "examine this `URL` in place of the environment's")
	choice(flags, &f.protocol, "protocol", "", []string{"", "grpc", "http/protobuf", "http/json"},
		"`protocol` in place of the environment's: grpc, http/protobuf or http/json")
	flags.BoolVar(&f.send, "send", false, "send a test span, too")
	flags.DurationVar(&f.timeout, "timeout", 5*time.Second, "most `time` that it may take")
	flags.BoolVar(&f.json, "json", false, "print JSON (docs/json.md)")
	_ = cmd.RegisterFlagCompletionFunc("protocol", completeWords("grpc", "http/protobuf", "http/json")) // fails for an unknown flag only
	return cmd
}

func (a *app) doctor(ctx context.Context, f doctorFlags) error {
	if f.timeout <= 0 {
		return &exitError{status: statusUsage, err: errors.New("doctor: --timeout is not above 0")}
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	path, note := a.storePath()
	report := doctor.Examine(ctx, doctor.Options{
		Environ: os.Environ(), Endpoint: f.endpoint, Protocol: f.protocol, Send: f.send, Timeout: f.timeout, Store: path, Version: version(),
	})
	if note != "" {
		at := slices.IndexFunc(report.Checks, func(c doctor.Check) bool { return c.Section == doctor.Store })
		report.Checks = slices.Insert(report.Checks, max(at, 0), doctor.Check{ID: "store-place", Section: doctor.Store, Status: doctor.Warning, Text: note})
	}
	if ctx.Err() != nil {
		return &exitError{status: statusInterrupted}
	}
	var err error
	if f.json {
		err = a.writeJSON(doctorJSON(report))
	} else {
		_, err = a.Stdout.Write(a.drawReport(report))
	}
	if err != nil {
		return fmt.Errorf("write: %w", err)
	}
	if report.Count(doctor.Problem) > 0 {
		return &exitError{status: statusError}
	}
	return nil
}

type jsonReport struct {
	Version  int              `json:"version"`
	Problems int              `json:"problems"`
	Warnings int              `json:"warnings"`
	Settings []doctor.Setting `json:"settings"`
	Checks   []doctor.Check   `json:"checks"`
}

func doctorJSON(r *doctor.Report) jsonReport {
	return jsonReport{jsonVersion, r.Count(doctor.Problem), r.Count(doctor.Warning), r.Settings, r.Checks}
}

// sectionTitles are the headings of a report.
var sectionTitles = map[string]string{
	doctor.Export: "Export of traces", doctor.Context: "Sampling and context", doctor.Network: "The way to the endpoint",
	doctor.Store: "Store", doctor.Machine: "This machine",
}

// mark is how a check's outcome is drawn.
type mark struct{ fancy, plain, color string }

var marks = map[doctor.Status]mark{
	doctor.OK:      {"✓", "ok     ", "38;5;72"},
	doctor.Info:    {"·", "-      ", "38;5;244"},
	doctor.Warning: {"!", "warning", "38;5;178"},
	doctor.Problem: {"✗", "PROBLEM", "1;38;5;203"},
}

// drawReport draws the settings and the checks, section by section.
func (a *app) drawReport(r *doctor.Report) []byte {
	text := a.textOptions(a.Stdout)
	width := text.Width
	if width == 0 {
		width = 100
	}
	style := func(code, s string) string {
		if !text.Color {
			return s
		}
		return "\x1b[" + code + "m" + s + "\x1b[0m"
	}
	var b bytes.Buffer
	section := ""
	heading := func(of string) {
		if of == section {
			return
		}
		if section != "" {
			b.WriteByte('\n')
		}
		section = of
		b.WriteString(style("1", sectionTitles[of]) + "\n")
	}
	if len(r.Settings) > 0 {
		heading(doctor.Export)
		names, values := 0, 0
		for _, s := range r.Settings {
			names, values = max(names, timeline.Columns(s.Name)), max(values, min(timeline.Columns(s.Value), width/2))
		}
		for _, s := range r.Settings {
			fmt.Fprintf(&b, "    %s  %s  %s\n", padded(s.Name, names), padded(timeline.Truncate(timeline.Clean(s.Value), width/2), values),
				style("38;5;244", timeline.Clean(s.Source)))
		}
	}
	for _, c := range r.Checks {
		heading(c.Section)
		m, indent := marks[c.Status], 4
		drawn := m.plain
		if text.Unicode {
			drawn = m.fancy
		} else {
			indent = 2 + len(m.plain) + 1
		}
		b.WriteString("  " + style(m.color, drawn) + " ")
		hang(&b, timeline.Clean(c.Text), indent, width, func(s string) string { return s })
		if c.Hint != "" {
			pad(&b, indent)
			hang(&b, "hint: "+timeline.Clean(c.Hint), indent, width, func(s string) string { return style("38;5;244", s) })
		}
	}
	fmt.Fprintf(&b, "\n%s\n", a.verdict(r, style))
	return b.Bytes()
}

func (a *app) verdict(r *doctor.Report, style func(code, s string) string) string {
	problems, warnings := r.Count(doctor.Problem), r.Count(doctor.Warning)
	switch {
	case problems > 0 && warnings > 0:
		return style(marks[doctor.Problem].color, counted(problems, "problem", "problems")) + ", " + counted(warnings, "warning", "warnings")
	case problems > 0:
		return style(marks[doctor.Problem].color, counted(problems, "problem", "problems"))
	case warnings > 0:
		return style(marks[doctor.Warning].color, "no problem, "+counted(warnings, "warning", "warnings"))
	}
	return style(marks[doctor.OK].color, "no problem")
}

// hang writes text in lines of at most width columns, the later ones indented.
func hang(b *bytes.Buffer, text string, indent, width int, style func(string) string) {
	for i, line := range bytes.Split([]byte(fold(text, max(20, width-indent))), []byte("\n")) {
		if i > 0 {
			pad(b, indent)
		}
		b.WriteString(style(string(line)) + "\n")
	}
}

func pad(b *bytes.Buffer, columns int) { b.Write(bytes.Repeat([]byte(" "), columns)) }

func padded(s string, columns int) string {
	return s + string(bytes.Repeat([]byte(" "), max(0, columns-timeline.Columns(s))))
}
