package travels

import "reflect"

// Obstacle finds the first part of t that is lost where it is not nil or zero: the
// way to it, from inside out, and why. It returns no reason if there is none.
func Obstacle[T comparable](r Reader[T], t T) (path []Step[T], why string) {
	return obstacle(r, t, make(map[T]bool))
}

func obstacle[T comparable](r Reader[T], t T, seen map[T]bool) (path []Step[T], why string) {
	if seen[t] {
		return nil, ""
	}
	seen[t] = true
	if r.Kind(t) == reflect.Struct && !GoesToLibrary(r, t) {
		return obstacleIn(r, t, seen)
	}
	if why = Lost(r, t); why != "" || Marshals(r, t) {
		return nil, why
	}
	switch r.Kind(t) {
	case reflect.Pointer, reflect.Slice, reflect.Array:
		return obstacle(r, r.Elem(t), seen)
	case reflect.Map:
		if path, why = obstacle(r, r.Key(t), seen); why != "" {
			return path, why
		}
		return obstacle(r, r.Elem(t), seen)
	}
	return nil, ""
}

// obstacleIn is obstacle for a struct: the first in the order of its fields.
func obstacleIn[T comparable](r Reader[T], t T, seen map[T]bool) (path []Step[T], why string) {
	losses := Losses(r, t)
	if len(losses) > 0 && len(losses[0].Path) == 0 {
		return nil, losses[0].Why
	}
	marshals := Marshals(r, t)
	for i := range r.NumField(t) {
		f, of := r.Field(t, i), r.FieldType(t, i)
		for _, l := range losses {
			if len(l.Path) == 1 && l.Path[0].Index == i {
				return l.Path, l.Why
			}
		}
		if f.stays() || !f.Exported && (!f.Embedded || r.Kind(of) != reflect.Struct) || marshals {
			continue
		}
		if path, why = obstacle(r, of, seen); why != "" {
			return append(path, Step[T]{t, i, f.Name}), why
		}
	}
	for _, l := range losses { // of embedded structs, whose fields are the struct's own
		return l.Path[len(l.Path)-1:], l.Why
	}
	return nil, ""
}

// Lost says why values of t itself cannot travel, but for nil and zero ones: there
// is no form for a channel or a func, and nothing to tell what an interface with
// methods holds.
func Lost[T any](r Reader[T], t T) (why string) {
	switch kind := r.Kind(t); kind {
	case reflect.Chan, reflect.Func, reflect.UnsafePointer:
		if !Marshals(r, t) {
			return "a " + kind.String() + " (" + r.String(t) + ")"
		}
	case reflect.Interface:
		if r.NumMethod(t) > 0 {
			return "the interface " + r.String(t) + ", which does not say what to decode into; use a concrete type"
		}
	case reflect.Struct:
		return hidesAll(r, t)
	}
	return ""
}

// hidesAll says why nothing of a struct travels, though there is something in it:
// no field is exported. What locks of sync hold belongs to one process.
func hidesAll[T any](r Reader[T], t T) string {
	if Marshals(r, t) || r.Package(t) == "sync" {
		return ""
	}
	some := false
	for i := range r.NumField(t) {
		f := r.Field(t, i)
		if f.Exported || f.Embedded || f.stays() {
			return ""
		}
		some = some || f.Name != "_"
	}
	if !some {
		return ""
	}
	why := "a " + r.String(t) + ", which has no exported fields"
	switch {
	case r.PointerImplements(t, MarshalsBinary):
		return why + ", and MarshalBinary without UnmarshalBinary; add it"
	case r.PointerImplements(t, UnmarshalsBinary):
		return why + ", and UnmarshalBinary without MarshalBinary; add it"
	case r.PointerImplements(t, MarshalsText):
		why += " and only a text form"
	case r.PointerImplements(t, MarshalsJSON):
		why += " and only a JSON form"
	case r.PointerImplements(t, EncodesGob):
		why += " and only a gob form"
	}
	return why + "; give it MarshalBinary and UnmarshalBinary"
}

// Losses returns the parts of a struct that are lost unless they are zero.
func Losses[T comparable](r Reader[T], t T) (losses []Loss[T]) {
	if Marshals(r, t) {
		return besideForm(r, t)
	}
	if why := hidesAll(r, t); why != "" {
		return []Loss[T]{{Type: t, Why: why}}
	}
	c := collected(r, t, false)
	c.shallowest()
	losses = c.lost
	for i := range r.NumField(t) {
		f, of := r.Field(t, i), r.FieldType(t, i)
		if f.stays() {
			continue
		}
		why := ""
		switch k := r.Kind(of); {
		case f.Exported && (k == reflect.Func || k == reflect.UnsafePointer):
			why = Lost(r, of)
		case f.Embedded && k == reflect.Struct && Marshals(r, of) && f.name() == "":
			why = "an embedded " + r.String(of) + ", whose own form is not used here; give the field a name"
		case f.Embedded && k == reflect.Struct && f.name() == "":
			why = hidesAll(r, of)
		}
		if why != "" {
			losses = append(losses, Loss[T]{[]Step[T]{{t, i, f.Name}}, of, why})
		}
	}
	return losses
}

// besideForm returns the losses of a struct that is written in the form of a type
// which it embeds: its other fields are not in that.
func besideForm[T any](r Reader[T], t T) (losses []Loss[T]) {
	if r.Implements(t, Selfer) || r.PointerImplements(t, Selfer) {
		return nil
	}
	of, ok := r.Promoted(t)
	if !ok {
		return nil
	}
	for i := range r.NumField(t) {
		f := r.Field(t, i)
		if i == of || !f.Exported || f.stays() {
			continue
		}
		losses = append(losses, Loss[T]{[]Step[T]{{t, i, f.Name}}, r.FieldType(t, i), "beside an embedded " + r.String(r.FieldType(t, of)) +
			", whose form is that of the whole struct; give that field a name, or the struct MarshalBinary and UnmarshalBinary"})
	}
	return losses
}
