package vet

import (
	"fmt"
	"slices"
	"strings"

	"github.com/libp2p/go-libp2p-gorpc/internal/shape"
)

// Known is what the sources of a package, or of many, say is registered. It is the
// fact that one package's analysis leaves for those that import it.
type Known struct {
	Methods  []Method
	Services []Place   // of receivers
	Open     []Place   // registrations of which the type does not show, and perhaps the name
	Serving  []string  // full names of functions that serve methods
	Wrappers []wrapper // functions that pass what they are given to a call by name, or to Register
	Called   []string  // methods that are called by name, as Service.Method, in what is no test
	Forms    []string  // the methods of each interface that has a form by package forms, with commas
}

// Place is a registration of a service.
type Place struct {
	Service string // empty if it does not show
	Package string // without the _test of an external test's
	Test    bool   // in a file of tests
}

// AFact makes it a fact.
func (*Known) AFact() {}

func (k *Known) isEmpty() bool {
	return len(k.Methods)+len(k.Services)+len(k.Open)+len(k.Serving)+len(k.Wrappers)+len(k.Called)+len(k.Forms) == 0
}

func (k *Known) String() string {
	names := make([]string, 0, len(k.Methods))
	for _, m := range k.Methods {
		names = append(names, m.id())
	}
	return "serves " + strings.Join(names, ", ") + "; calls " + strings.Join(k.Called, ", ")
}

// Method is one method that is registered, or declared as a typed one.
type Method struct {
	Place
	Name       string
	Streaming  bool
	Declared   string // the package and the variable of a typed method that is not handled here
	Arg, Reply string // with the paths of packages
	ArgWords   string // as people read it
	ReplyWords string
	AnyArg     bool // an interface: what it takes does not show
	AnyReply   bool
	Types      shape.Description // of this one method
	Where      string
}

func (m *Method) id() string { return m.Service + "." + m.Name }

func (m *Method) kind() string {
	if m.Streaming {
		return "streaming"
	}
	return "unary"
}

// wrapper is a function with the form of a call, of the program's own.
type wrapper struct {
	Func string
	Form form
}

// World is what is known of all that an analysis sees.
type World struct {
	whole    bool // all of a program is seen, callers and registrations
	external map[string]bool
	methods  map[string][]*Method // by their services
	services []Place
	open     []Place
	serving  map[string]bool
	wrappers map[string]form
	called   map[string]bool // as in Known
	forms    map[string]bool
	typed    bool // calls by name are reported, to become typed methods
}

// NewWorld returns a world in which nothing is known. whole says that it will be
// all of a program: what is then not registered is registered nowhere, but for the
// external services.
func NewWorld(whole bool, external ...string) *World {
	w := &World{
		whole: whole, external: make(map[string]bool), methods: make(map[string][]*Method),
		serving: make(map[string]bool), wrappers: make(map[string]form), called: make(map[string]bool),
		forms: make(map[string]bool),
	}
	for _, e := range external {
		w.external[e] = true
	}
	return w
}

func (w *World) add(k *Known) {
	for i := range k.Methods {
		m := &k.Methods[i]
		w.methods[m.Service] = append(w.methods[m.Service], m)
	}
	w.services = append(w.services, k.Services...)
	w.open = append(w.open, k.Open...)
	for _, s := range k.Serving {
		w.serving[s] = true
	}
	for _, id := range k.Called {
		w.called[id] = true
	}
	for _, f := range k.Forms {
		w.forms[f] = true
	}
	for _, f := range k.Wrappers {
		w.wrappers[f.Func] = f.Form
	}
}

// view is what a package sees of the world: its own registrations, and of others
// those that are not their tests'.
type view struct {
	*World
	pkg    string
	near   map[string]bool // the packages that it imports, by any way
	inTest bool            // it is asked about a file of tests
}

func (v *view) sees(p Place) bool { return !p.Test || p.Package == v.pkg }

// methodsOf returns the methods of a service: those of the package itself, if there
// are any, else those of what it imports, else all. Several programs, and several
// tests, may have services of one name.
func (v *view) methodsOf(service string) (all []*Method) {
	for _, within := range []func(Place) bool{
		func(p Place) bool { return p.Package == v.pkg },
		func(p Place) bool { return v.near[p.Package] },
		func(Place) bool { return !v.inTest || !v.isOpen(service) },
	} {
		for _, m := range v.methods[service] {
			if v.sees(m.Place) && within(m.Place) {
				all = append(all, m)
			}
		}
		if slices.ContainsFunc(all, func(m *Method) bool { return m.Declared == "" }) {
			break
		}
	}
	return all
}

// served are the methods of a name: those that something serves, or those that are
// only declared. In tests, where many servers have services of one name, there are
// none if others may be registered that do not show.
func (v *view) served(service, name string) []*Method {
	hidden := func(p Place) bool {
		return (p.Service == "" || p.Service == service) && (p.Package == v.pkg || v.near[p.Package]) && v.sees(p)
	}
	if v.inTest && slices.ContainsFunc(v.open, hidden) {
		return nil
	}
	found := v.find(service, name)
	declared := func(m *Method) bool { return m.Declared != "" }
	if slices.ContainsFunc(found, func(m *Method) bool { return !declared(m) }) {
		return slices.DeleteFunc(found, declared)
	}
	return found
}

func (v *view) find(service, name string) (found []*Method) {
	for _, m := range v.methodsOf(service) {
		if m.Name == name {
			found = append(found, m)
		}
	}
	if found == nil { // a service may be of several packages
		for _, m := range v.methods[service] {
			if m.Name == name && v.sees(m.Place) && !v.inTest {
				found = append(found, m)
			}
		}
	}
	return found
}

// isOpen reports whether a service may have methods that do not show.
func (v *view) isOpen(service string) bool {
	return slices.ContainsFunc(v.open, func(p Place) bool { return v.sees(p) && (p.Service == "" || p.Service == service) })
}

// names are those of the services, or of the methods of one.
func (v *view) names(service string) (all []string) {
	for name, methods := range v.methods {
		for _, m := range methods {
			if service == "" && v.sees(m.Place) {
				all = append(all, name)
			} else if service == name && v.sees(m.Place) {
				all = append(all, m.Name)
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// missing says what is wrong with the names of a method, if anything is: that no
// service, or no method, of that name is registered. In tests nothing is: they ask
// for what is not there on purpose.
func (v *view) missing(service, method string) (category, problem string) {
	has := v.names(service)
	isService := slices.ContainsFunc(v.services, func(p Place) bool { return p.Service == service && v.sees(p) })
	switch {
	case v.external[service] || v.isOpen(service) || v.inTest || strings.HasPrefix(service, ownServices) || slices.Contains(has, method):
		return "", ""
	case has == nil && !isService:
		all := v.names("")
		if !v.whole || len(all) == 0 {
			return "", ""
		}
		return "service", fmt.Sprintf("no service %s is registered in the packages that were read%s; if it is served elsewhere, pass -external %s",
			service, suggestion(service, all), service)
	case method == "": // of a policy: all of them
		return "", ""
	case !v.whole && !isService: // only typed ones or functions are seen here
		return "", ""
	}
	const most = 12
	near := suggestion(method, has)
	list := strings.Join(has[:min(len(has), most)], ", ")
	if len(has) > most {
		list += fmt.Sprintf(" and %d more", len(has)-most)
	}
	return "method", fmt.Sprintf("service %s has no method %s%s; it has %s", service, method, near, list)
}

func suggestion(name string, all []string) string {
	if near := nearest(name, all); near != "" {
		return ": is " + near + " meant?"
	}
	return ""
}

// nearest returns the one name that differs from another by a typing error, if
// there is one.
func nearest(name string, all []string) string {
	const longest = 256 // a service ID
	best, found := 3, ""
	for _, other := range all {
		if len(name) > longest || len(other) > longest {
			continue
		}
		if d := distance(strings.ToLower(name), strings.ToLower(other)); d < best && d < max(len(name), 2)/2+1 {
			best, found = d, other
		} else if d == best {
			found = ""
		}
	}
	return found
}

// distance is how many letters must be changed, added or left out, to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			next := diagonal
			if a[i] != b[j] {
				next = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], next
		}
	}
	return row[len(b)]
}
