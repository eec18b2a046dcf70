package genai

import (
	"encoding/json"
	"strconv"
)

// cursor walks over one JSON text (RFC 8259) in place: what is not asked for is checked and skipped, nothing is allocated. It
// accepts what encoding/json accepts. After the first fault it is at its end, and fault is true.
//
// Each value is taken by exactly one call: object, array, str, text, number, boolean or skip. A value of another kind than
// asked for is skipped.
type cursor struct {
	data  []byte
	pos   int
	depth int
	first bool // an object or array has just been entered
	fault bool
}

// maxDepth is encoding/json's limit of nesting.
const maxDepth = 10000

func (c *cursor) fail() {
	c.fault = true
	c.pos = len(c.data)
}

// peek returns the first byte of the next value or sign, 0 at the end.
func (c *cursor) peek() byte {
	for c.pos < len(c.data) {
		switch b := c.data[c.pos]; b {
		case ' ', '\n', '\r', '\t':
			c.pos++
		default:
			return b
		}
	}
	return 0
}

// done reports whether the whole text was one sound value.
func (c *cursor) done() bool { return c.peek() == 0 && c.pos == len(c.data) && !c.fault }

// object enters an object, whose keys must then be taken until key returns false.
func (c *cursor) object() bool { return c.enter('{') }

// array enters an array, whose elements must then be taken until element returns false.
func (c *cursor) array() bool { return c.enter('[') }

func (c *cursor) enter(open byte) bool {
	if c.peek() != open {
		c.skip()
		return false
	}
	c.pos++
	if c.depth++; c.depth > maxDepth {
		c.fail()
		return false
	}
	c.first = true
	return true
}

// next moves to the next member of the object or array, past the comma; false is its end.
func (c *cursor) next(end byte) bool {
	b := c.peek()
	first := c.first
	c.first = false
	switch {
	case b == end:
		c.pos++
		c.depth--
		return false
	case first:
		return !c.fault
	case b != ',':
		c.fail()
		return false
	}
	c.pos++
	return true
}

// key returns the next key of the object; its value must be taken before the next call.
func (c *cursor) key() ([]byte, bool) {
	if !c.next('}') {
		return nil, false
	}
	if c.peek() != '"' {
		c.fail()
		return nil, false
	}
	key := c.quoted()
	if c.peek() != ':' {
		c.fail()
		return nil, false
	}
	c.pos++
	return key, true
}

// element reports whether the array has a next element, which must then be taken.
func (c *cursor) element() bool {
	if !c.next(']') {
		return false
	}
	if c.peek() == 0 {
		c.fail()
		return false
	}
	return true
}

// str returns the next string, without its escapes. The bytes belong to the text.
func (c *cursor) str() []byte {
	if c.peek() != '"' {
		c.skip()
		return nil
	}
	return c.quoted()
}

// text tells whether the next value is a string, and whether it is empty.
func (c *cursor) text() text {
	if c.peek() != '"' {
		c.skip()
		return textNone
	}
	if raw, _ := c.raw(); len(raw) == 0 {
		return textEmpty
	}
	return textSome
}

// text is what matters about a string that is not recorded.
type text uint8

const (
	textNone  text = iota // not there, or not a string
	textEmpty             // ""
	textSome
)

// number returns the next number.
func (c *cursor) number() (float64, bool) {
	if b := c.peek(); b != '-' && (b < '0' || b > '9') {
		c.skip()
		return 0, false
	}
	f, err := strconv.ParseFloat(string(c.digits()), 64)
	return f, err == nil && !c.fault
}

// integer returns the next number as a count: whole, not negative, and exact in a double.
func (c *cursor) integer() (int64, bool) {
	f, ok := c.number()
	if !ok || f < 0 || f > 1<<53 {
		return 0, false
	}
	return int64(f), true
}

// boolean returns the next value if it is true or false.
func (c *cursor) boolean() (value, ok bool) {
	b := c.peek()
	c.skip()
	return b == 't' && !c.fault, (b == 't' || b == 'f') && !c.fault
}

// skip takes the next value, whatever it is.
func (c *cursor) skip() {
	switch b := c.peek(); b {
	case '{':
		for c.enter('{'); ; c.skip() {
			if _, ok := c.key(); !ok {
				return
			}
		}
	case '[':
		for c.enter('['); c.element(); {
			c.skip()
		}
	case '"':
		c.raw()
	case 't':
		c.literal("true")
	case 'f':
		c.literal("false")
	case 'n':
		c.literal("null")
	default:
		if b != '-' && (b < '0' || b > '9') {
			c.fail()
			return
		}
		c.digits()
	}
}

func (c *cursor) literal(word string) {
	if len(c.data)-c.pos < len(word) || string(c.data[c.pos:c.pos+len(word)]) != word {
		c.fail()
		return
	}
	c.pos += len(word)
}

// digits takes a number.
func (c *cursor) digits() []byte {
	start := c.pos
	if c.at('-') {
		c.pos++
	}
	if c.at('0') {
		c.pos++
	} else if !c.run() {
		c.fail()
		return nil
	}
	if c.at('.') {
		c.pos++
		if !c.run() {
			c.fail()
			return nil
		}
	}
	if c.at('e') || c.at('E') {
		c.pos++
		if c.at('+') || c.at('-') {
			c.pos++
		}
		if !c.run() {
			c.fail()
			return nil
		}
	}
	return c.data[start:c.pos]
}

func (c *cursor) at(b byte) bool { return c.pos < len(c.data) && c.data[c.pos] == b }

// run takes decimal digits, one at least.
func (c *cursor) run() bool {
	start := c.pos
	for c.pos < len(c.data) && c.data[c.pos] >= '0' && c.data[c.pos] <= '9' {
		c.pos++
	}
	return c.pos > start
}

// quoted takes a string and removes its escapes.
func (c *cursor) quoted() []byte {
	start := c.pos
	raw, escaped := c.raw()
	if !escaped || c.fault {
		return raw
	}
	// Strings that are looked at (keys, ids, models, reasons) hardly ever have escapes.
	var s string
	if json.Unmarshal(c.data[start:c.pos], &s) != nil {
		c.fail()
		return nil
	}
	return []byte(s)
}

// raw takes a string, and returns what is between its quotes.
func (c *cursor) raw() (raw []byte, escaped bool) {
	c.pos++
	start := c.pos
	for i := start; i < len(c.data); i++ {
		switch b := c.data[i]; {
		case b == '"':
			c.pos = i + 1
			return c.data[start:i], escaped
		case b < 0x20:
			c.fail()
			return nil, false
		case b == '\\':
			escaped = true
			n := escapeLen(c.data[i:])
			if n == 0 {
				c.fail()
				return nil, false
			}
			i += n - 1
		}
	}
	c.fail()
	return nil, false
}

// escapeLen returns the length of the escape at the start of b, 0 when it is none.
func escapeLen(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if len(b) < 6 {
			return 0
		}
		for _, h := range b[2:6] {
			if (h < '0' || h > '9') && (h < 'a' || h > 'f') && (h < 'A' || h > 'F') {
				return 0
			}
		}
		return 6
	}
	return 0
}
