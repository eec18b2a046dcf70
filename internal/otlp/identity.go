package otlp

import "google.golang.org/protobuf/encoding/protowire"

// identity collects a resource's identity during a scan. Its slices point into the request; nil means not given.
type identity struct {
	service, instanceID, kind, name, runID []byte
	pid, vllmPID                           int
}

// resource walks one Resource message.
func (id *identity) resource(b []byte) fault {
	var f field
	for len(b) > 0 {
		n := f.next(b)
		if n < 0 {
			return faultWire
		}
		b = b[n:]
		if !f.is(resourceAttributes, protowire.BytesType) {
			continue
		}
		if why := checkKeyValue(f.val, 0); why != "" {
			return why
		}
		id.attribute(f.val)
	}
	return ""
}

func (id *identity) attribute(b []byte) {
	key, value := splitKeyValue(b)
	switch string(key) {
	case keyService:
		id.service = stringValue(value)
	case keyInstanceID:
		id.instanceID = stringValue(value)
	case keyProcessKind:
		id.kind = stringValue(value)
	case keyProcessName:
		id.name = stringValue(value)
	case keyRunID:
		id.runID = stringValue(value)
	case keyPID:
		id.pid = asPID(decodeValue(value, 0))
	case keyVLLMPID:
		id.vllmPID = asPID(decodeValue(value, 0))
	}
}

// stringValue returns the text of an AnyValue message; nil when it is not a string.
func stringValue(b []byte) (s []byte) {
	fields(b, func(f field) {
		switch f.num {
		case valueString:
			if f.typ == protowire.BytesType {
				s = f.val
			}
		case valueBool, valueInt, valueDouble, valueArray, valueList, valueBytes:
			s = nil
		}
	})
	return s
}

func (id *identity) summary() ProcessSummary {
	p := ProcessSummary{
		Service:    string(id.service),
		InstanceID: string(id.instanceID),
		Kind:       string(id.kind),
		Name:       string(id.name),
		RunID:      string(id.runID),
		PID:        id.pid,
	}
	if p.PID == 0 {
		p.PID = id.vllmPID
	}
	return p
}
