package genai

import "go.opentelemetry.io/otel/metric"

type instruments struct{}

func newInstruments(metric.MeterProvider) *instruments { return &instruments{} }
