package describe_test

import (
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p-gorpc/describe"
)

// Read takes what JSON writes, and says of a damaged file what is wrong.
func TestReadRefusesDamagedFiles(t *testing.T) {
	const (
		method = `{"name":"Get","kind":"unary","args":"int","reply":"int"}`
		whole  = `{"services":[{"name":"Pins","methods":[` + method + `]}],"types":{"int":{"kind":"int","bits":64}}}` + "\n"
	)
	for damaged, want := range map[string]string{
		"":                        "EOF",
		"null":                    "it has no services",
		"{}":                      "it has no services",
		whole[:40]:                "unexpected EOF",
		whole + whole:             "there is more after it",
		whole + ">>>>>>> other":   "there is more after it",
		strings.Repeat("[", 20e3): "exceeded max depth",
		strings.Replace(whole, method, method+","+method, 1):                               "describes Pins.Get twice",
		strings.Replace(whole, `"args":"int"`, `"args":"text"`, 1):                         `is of the type "text", which is not among the types`,
		strings.Replace(whole, `"kind":"unary"`, `"kind":"unary","once":true`, 1):          `unknown field "once"`,
		strings.Replace(whole, `"kind":"unary"`, `"kind":"unary","limits":{"x":1}`, 1):     `unknown field "x"`,
		strings.Replace(whole, `"kind":"unary"`, `"kind":"other"`, 1):                      "no kind of method",
		strings.Replace(whole, `"kind":"unary"`, `"kind":"unary","limits":{"rate":-1}`, 1): "a limit that is none",
	} {
		if _, err := describe.Read([]byte(damaged)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("of %.60q: %v, not %s", damaged, err, want)
		}
	}
	for damaged, want := range map[string]string{
		`{"kind":"flotilla"}`:                                     `the type int is of the kind "flotilla", which this version does not know`,
		`{"kind":""}`:                                             `the type int is of the kind "", which`,
		`{"kind":"int","bits":-64}`:                               "the type int is of the kind int and has -64 bits",
		`{"kind":"int"}`:                                          "the type int is of the kind int and has 0 bits",
		`{"kind":"uint","bits":7}`:                                "has 7 bits",
		`{"kind":"float","bits":16}`:                              "has 16 bits",
		`{"kind":"duration","bits":32}`:                           "has 32 bits",
		`{"kind":"string","bits":8}`:                              "the type int is of the kind string and has 8 bits",
		`{"kind":"list","elem":"int","len":-1}`:                   "the type int is of the kind list and has the length -1",
		`{"kind":"map","key":"int","elem":"int","len":2}`:         "the type int is of the kind map and has the length 2",
		`{"kind":"bool","fields":[{"name":"A","type":"int"}]}`:    "the type int is of the kind bool and has what only a struct has: fields",
		`{"kind":"list","elem":"int","array":true}`:               "what only a struct has",
		`{"kind":"list","elem":"text"}`:                           `the element of int is of the type "text", which is not among the types`,
		`{"kind":"struct","fields":[{"name":"A","type":"text"}]}`: `the field A of int is of the type "text", which is not among the types`,
	} {
		file := strings.Replace(whole, `{"kind":"int","bits":64}`, damaged, 1)
		if _, err := describe.Read([]byte(file)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("of %s: %v, not %s", damaged, err, want)
		}
	}
	if d, err := describe.Read([]byte(whole)); err != nil || len(d.Services) != 1 {
		t.Errorf("%+v, %v", d, err)
	}
}
