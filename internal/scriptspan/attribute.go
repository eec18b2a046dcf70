package scriptspan

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/redact"
)

// ParseAttribute reads KEY=TEXT, or KEY:=JSON for a number, a boolean, a text or a list of them. Secrets are taken out.
func ParseAttribute(text string) (otlp.Field, error) {
	key, value, ok := strings.Cut(text, "=")
	key, typed := strings.CutSuffix(key, ":")
	key = strings.TrimSpace(strings.ToValidUTF8(key, "\uFFFD"))
	switch {
	case !ok:
		return otlp.Field{}, fmt.Errorf("%q has no =", redact.String(text))
	case key == "":
		return otlp.Field{}, errors.New("an attribute without a key")
	case redact.SecretName(key):
		return otlp.Field{Key: key, Value: redact.Mark}, nil
	case !typed:
		return otlp.Field{Key: key, Value: Clean(value)}, nil
	}
	v, err := parseJSON(value)
	if err != nil {
		return otlp.Field{}, fmt.Errorf("%s: %w", key, err)
	}
	return otlp.Field{Key: key, Value: v}, nil
}

// ParseAttributes reads several; of two with one key the later counts.
func ParseAttributes(texts []string) (fields []otlp.Field, err error) {
	for _, text := range texts {
		f, err := ParseAttribute(text)
		if err != nil {
			return nil, fmt.Errorf("--attr: %w", err)
		}
		fields = Merge(fields, f)
	}
	return fields, nil
}

// Merge returns fields with more in them; a key that is there already gets the new value.
func Merge(fields []otlp.Field, more ...otlp.Field) []otlp.Field {
next:
	for _, f := range more {
		for i := range fields {
			if fields[i].Key == f.Key {
				fields[i] = f
				continue next
			}
		}
		fields = append(fields, f)
	}
	return fields
}

// Clean is a text as it may be recorded: valid UTF-8, and without secrets.
func Clean(text string) string { return redact.String(strings.ToValidUTF8(text, "\uFFFD")) }

func parseJSON(text string) (any, error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, errors.New("no JSON after :=")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one JSON value after :=")
	}
	if list, ok := v.([]any); ok {
		for i := range list {
			var err error
			if list[i], err = scalar(list[i]); err != nil {
				return nil, err
			}
		}
		return list, nil
	}
	return scalar(v)
}

func scalar(v any) (any, error) {
	switch v := v.(type) {
	case string:
		return Clean(v), nil
	case bool:
		return v, nil
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n, nil
		}
		f, err := v.Float64()
		if err != nil {
			return nil, fmt.Errorf("%s is too large", v)
		}
		return f, nil
	}
	return nil, errors.New("want a number, true, false, a text or a list of them after :=")
}
