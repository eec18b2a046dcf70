package doctor

import (
	"fmt"
	"slices"
	"strings"
)

// exporterSettings are the names after OTEL_EXPORTER_OTLP_ and OTEL_EXPORTER_OTLP_TRACES_; METRICS, LOGS and PROFILES have them, too.
var exporterSettings = []string{
	"ENDPOINT", "PROTOCOL", "HEADERS", "TIMEOUT", "COMPRESSION", "CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY", "INSECURE",
}

// checkNames finds variables that are no OTLP setting but look like one.
func (d *examination) checkNames() {
	const prefix = "OTEL_EXPORTER_OTLP_"
	for _, entry := range d.env {
		name, _, _ := strings.Cut(entry, "=")
		rest, ok := strings.CutPrefix(name, prefix)
		if !ok {
			if strings.HasPrefix(name, "OTEL_EXPORTER_OTPL_") || strings.HasPrefix(name, "OTEL_EXPORTER_OLTP_") {
				d.add(Export, "variable-unknown", Warning, name+" is read by nobody", prefix+name[len(prefix):]+" is meant")
			}
			continue
		}
		setting := rest
		for _, signal := range []string{"TRACES_", "METRICS_", "LOGS_", "PROFILES_"} {
			setting = strings.TrimPrefix(setting, signal)
		}
		if slices.Contains(exporterSettings, setting) || strings.HasPrefix(rest, "METRICS_") {
			continue // metrics have settings of their own
		}
		nearest, distance := "", 4
		for _, signal := range []string{"", "TRACES_"} {
			for _, known := range exporterSettings {
				if n := edits(rest, signal+known); n < distance {
					nearest, distance = signal+known, n
				}
			}
		}
		hint := ""
		if nearest != "" {
			hint = prefix + nearest + " is meant"
		}
		d.add(Export, "variable-unknown", Warning, fmt.Sprintf("%s is read by nobody", name), hint)
	}
}

// edits is how many letters have to be put in, taken out or changed to make a of b (Levenshtein's distance).
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
