package forkspan

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// marshalOTLPJSON encodes msg as OTLP's JSON, which is protobuf's but for two things (OTLP specification, "JSON Protobuf
// Encoding"): enumerations are numbers, and ids are in hex.
func marshalOTLPJSON(msg proto.Message) ([]byte, error) {
	raw, err := protojson.MarshalOptions{UseEnumNumbers: true}.Marshal(msg)
	if err != nil {
		return nil, err
	}
	var tree any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&tree); err != nil {
		return nil, err
	}
	hexIDs(tree)
	return json.Marshal(tree)
}

// hexIDs rewrites ids in place. Keys of attributes are values in this encoding, so no attribute can be taken for an id.
func hexIDs(node any) {
	switch node := node.(type) {
	case []any:
		for _, child := range node {
			hexIDs(child)
		}
	case map[string]any:
		for key, child := range node {
			switch key {
			case "traceId", "spanId", "parentSpanId":
				if s, ok := child.(string); ok {
					if id, err := base64.StdEncoding.DecodeString(s); err == nil {
						node[key] = hex.EncodeToString(id)
					}
				}
			default:
				hexIDs(child)
			}
		}
	}
}
