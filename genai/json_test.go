package genai

import (
	"encoding/json"
	"reflect"
	"testing"
)

// tree rebuilds what encoding/json makes of a text, by nothing but the cursor.
func tree(c *cursor) any {
	switch b := c.peek(); b {
	case '{':
		m := map[string]any{}
		c.object()
		for k, ok := c.key(); ok; k, ok = c.key() {
			key := valid(string(k))
			m[key] = tree(c)
		}
		return m
	case '[':
		l := []any{}
		c.array()
		for c.element() {
			l = append(l, tree(c))
		}
		return l
	case '"':
		return valid(string(c.str()))
	case 't', 'f':
		v, _ := c.boolean()
		return v
	case 'n':
		c.skip()
		return nil
	}
	v, _ := c.number()
	return v
}

// valid replaces each byte that is no UTF-8, as encoding/json does.
func valid(s string) string { return string([]rune(s)) }

var jsonTexts = []string{
	`{}`, `[]`, `""`, `null`, `true`, `false`, `0`, `-0.5e+10`, ` [ 1 , 2 ] `,
	`{"a":{"b":[1,"x",null,{"c":true}]},"d":""}`,
	`{"a\u0062":"\ud83d\ude00\n\/"}`, `"\ud800"`, "\"\xff\"", `{"a":1,"a":2}`, `[[[[]]]]`, `{"a":[{}]}`,
	``, ` `, `{`, `[`, `"`, `{"a"`, `{"a":`, `{"a":1`, `{"a":1,`, `{"a":1,}`, `[1,]`, `[,1]`, `{,}`, `01`, `-`, `1.`,
	`1e`, `.5`, `+1`,
	`tru`, `nul`, `True`, `"\x"`, `"\u12"`, "\"\x01\"", `{} {}`, `1 2`, `{1:2}`, `{"a" 1}`, `[1 2]`, `]`, `}`, `,`,
	`1e999`,
}

func checkJSON(t *testing.T, data []byte) {
	t.Helper()
	var want any
	wantErr := json.Unmarshal(data, &want)

	c := cursor{data: data}
	c.skip()
	sound := c.done()
	if json.Valid(data) != sound {
		t.Fatalf("%q: sound = %v, encoding/json says %v", data, sound, !sound)
	}
	if wantErr != nil {
		return // unsound, or a number out of range
	}
	c = cursor{data: data}
	got := tree(&c)
	if !c.done() || !reflect.DeepEqual(got, want) {
		t.Fatalf("%q: got %#v, want %#v", data, got, want)
	}
}

func TestCursor(t *testing.T) {
	for _, s := range jsonTexts {
		checkJSON(t, []byte(s))
	}
}

func FuzzCursor(f *testing.F) {
	for _, s := range jsonTexts {
		f.Add([]byte(s))
	}
	f.Fuzz(checkJSON)
}
