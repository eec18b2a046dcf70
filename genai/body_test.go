package genai

import (
	"reflect"
	"testing"
)

func TestRequestFields(t *testing.T) {
	for body, want := range map[string]requestFields{
		``:     {},
		`null`: {},
		`[{}]`: {},
		`{`:    {known: true},
		`{"model":"m","n":2,"prompt":["a","b","c"]}`:                         {model: "m", choices: Some[int64](2), prompts: 3},
		`{"prompt":[1,2,3]}`:                                                 {prompts: 1},
		`{"prompt":[[1],[2]]}`:                                               {prompts: 2},
		`{"prompt":"a","n_predict":-1}`:                                      {prompts: 1},
		`{"reasoning":{"effort":"high","summary":{}},"max_output_tokens":7}`: {reasoning: "high", maxTokens: Some[int64](7)},
		`{"reasoning":"high"}`:                                               {},
		`{"options":{"temperature":0.5,"num_predict":3},"stream":false}`: {
			temperature: Some(0.5), maxTokens: Some[int64](3), stream: Some(false)},
		`{"options":null,"stream":"yes","model":7,"n":"2","top_k":1.5}`: {topK: Some[int64](1)},
		`{"model":"m","messages":[{"content":"cut o`:                    {model: "m"},
		"{\"model\":\"m\xff\"}":                                         {model: "m\uFFFD"},
		`{"mod\u0065l":"m\u00e9","previous_response_id":"resp_1"}`:      {model: "mé", previous: "resp_1"},
	} {
		want.known = want.known || len(body) > 0 && body[0] == '{'
		var got requestFields
		if got.read([]byte(body)); !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", body, got, want)
		}
	}
	f := requestFields{choices: Some[int64](1 << 50), prompts: 1 << 50}
	if n := f.expected(); n != maxChoices {
		t.Errorf("%d choices expected", n)
	}
}

func TestNamesAreBounded(t *testing.T) {
	long := make([]byte, 10*maxName)
	for i := range long {
		long[i] = 'x'
	}
	if n := len(name(long)); n != maxName {
		t.Errorf("a name of %d bytes", n)
	}
	if w := word(long); w != "" {
		t.Errorf("a word of %d bytes", len(w))
	}
}
