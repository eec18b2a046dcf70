package forkspantest

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// unmarshalJSON decodes OTLP JSON, which is protobuf's JSON mapping but for ids, which are hexadecimal, and for fields that the
// receiver does not know, which it must ignore. https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding
func unmarshalJSON(data []byte, m proto.Message) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var document any
	if err := decoder.Decode(&document); err != nil {
		return err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the document")
	}
	if err := convertIDs(document); err != nil {
		return err
	}
	converted, err := json.Marshal(document)
	if err != nil {
		return err
	}
	return protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(converted, m)
}

// convertIDs turns the ids of spans and links from hexadecimal into base64, in place. Keys of a user's attributes are values in
// OTLP JSON, never keys, so that every such key is an id.
func convertIDs(v any) error {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			if err := convertIDs(e); err != nil {
				return err
			}
		}
	case map[string]any:
		for key, e := range v {
			text, isString := e.(string)
			if isString && (key == "traceId" || key == "spanId" || key == "parentSpanId") {
				id, err := hex.DecodeString(text)
				if err != nil {
					return fmt.Errorf("read %s: %w", key, err)
				}
				v[key] = base64.StdEncoding.EncodeToString(id)
				continue
			}
			if err := convertIDs(e); err != nil {
				return err
			}
		}
	}
	return nil
}
