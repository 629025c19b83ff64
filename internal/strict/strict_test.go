package strict_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/layarun/layarun/internal/strict"
)

func TestDecode(t *testing.T) {
	type inner struct {
		A int `json:"a"`
	}
	type outer struct {
		In   inner            `json:"in"`
		List []inner          `json:"list"`
		Map  map[string][]int `json:"map"`
	}
	cases := map[string]struct{ text, want string }{
		"all of it":        {` {"in": {"a": 1}, "list": [{"a": 2}, {"a": 3}], "map": {"a": [4], "b": []}} `, ""},
		"equal keys apart": {`{"in": {"a": 1}, "map": {"in": [], "a": []}}`, ""},
		"key as value":     {`{"map": {"map": [1, 1]}}`, ""},
		"empty":            {``, "unexpected EOF"},
		"cut":              {`{"in": {"a": 1}`, "unexpected EOF"},
		"repeated":         {`{"in": {}, "in": {}}`, `key "in" is repeated`},
		"repeated inside":  {`{"list": [{"a": 1}, {"a": 1, "a": 1}]}`, `key "a" is repeated`},
		"repeated after":   {`{"map": {"a": [], "b": [{}], "a": []}}`, `key "a" is repeated`},
		"escaped":          {`{"in": {}, "i\u006e": {}}`, `key "in" is repeated`},
		"unknown":          {`{"in": {"b": 1}}`, `unknown field "b"`},
		"two values":       {`{} {}`, "text after the end"},
		"text after":       {`{} x`, "text after the end"},
		"type":             {`{"in": {"a": "1"}}`, "in.a: found string, want a whole number"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var got outer
			err := strict.Decode([]byte(c.text), &got)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("error is %v, want %q", err, c.want)
			}
		})
	}
}

// FuzzDecode asks for no panic, and that what is read is what encoding/json reads.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"a": [{"b": null}, -1.5e3, "c"], "d": {}}`))
	f.Add([]byte(`[[], {"a": {"a": 1}}]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var got, want any
		if strict.Decode(text, &got) != nil {
			return
		}
		if err := json.Unmarshal(text, &want); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %v, want %v (%v)", got, want, err)
		}
	})
}
