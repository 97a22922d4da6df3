package trace

// The parts of an event that are objects of their own.

func (r *reader) declaration(n *node) *ErrorDeclaration {
	d := &ErrorDeclaration{}
	r.members(n, &d.Extensions, func(key string, v *node) bool {
		switch key {
		case "declarationTime":
			d.Time = r.time(v)
		case "reason":
			d.Reason = r.word(v, r.words.reason)
		case "correctiveEventIDs":
			d.Corrective = r.uris(v, false)
		default:
			return false
		}
		return true
	})
	if n.kind == object {
		r.required(n, "declarationTime")
	}
	return d
}

func (r *reader) persistent(e *Event, n *node) {
	words := func(v *node) (out []string) {
		r.each(v, func(one *node) { out = append(out, r.word(one, r.words.disposition)) })
		if v.kind == list && len(v.all) == 0 {
			r.failf("is empty")
		}
		if len(r.problems) == 0 {
			r.once(out)
		}
		return out
	}
	r.members(n, nil, func(key string, v *node) bool {
		switch key {
		case "set":
			e.Set = words(v)
		case "unset":
			e.Unset = words(v)
		default:
			return false
		}
		return true
	})
	if n.kind == object && n.get("set") == nil && n.get("unset") == nil {
		r.failf("set or unset is needed")
	}
}

func (r *reader) place(n *node) (p Place) {
	if !r.is(n, object) {
		return p
	}
	for i, key := range n.keys {
		r.push(key, 0)
		switch v := &n.all[i]; {
		case key == "id":
			p.ID = r.uri(v)
		case !isURI(key): // the schema takes anything here
			r.failOursf("is not a field here, and no extension: those have a prefix that is declared in @context")
		default:
			p.Extensions = append(p.Extensions, r.field(key, v))
		}
		r.pop()
	}
	r.required(n, "id")
	return p
}

func (r *reader) quantities(n *node) (out []Quantity) {
	if n.kind == list {
		out = make([]Quantity, 0, len(n.all))
	}
	r.each(n, func(one *node) {
		var q Quantity
		r.members(one, nil, func(key string, v *node) bool {
			switch key {
			case "epcClass":
				q.Class = r.uri(v)
			case "quantity":
				q.Number = r.number(v)
			case "uom":
				if q.Unit = r.text(v); v.kind == text && !isUnit(q.Unit) {
					r.failf("%q is not a unit code of two or three capitals and digits", clip(q.Unit))
				}
			default:
				return false
			}
			return true
		})
		if one.kind == object {
			r.required(one, "epcClass")
		}
		out = append(out, q)
	})
	return out
}

func (r *reader) number(n *node) string {
	if !r.is(n, number) {
		return ""
	}
	return plainNumber(n.text)
}

// typed reads the elements of a list of business transactions, sources or destinations.
func (r *reader) typed(n *node, name string, words *vocabulary, typeNeeded bool) (out []Typed) {
	if n.kind == list {
		out = make([]Typed, 0, len(n.all))
	}
	r.each(n, func(one *node) {
		var t Typed
		r.members(one, nil, func(key string, v *node) bool {
			switch key {
			case "type":
				t.Type = r.word(v, words)
			case name:
				t.ID = r.uri(v)
			default:
				return false
			}
			return true
		})
		if one.kind == object {
			r.required(one, name)
			if typeNeeded {
				r.required(one, "type")
			}
		}
		out = append(out, t)
	})
	return out
}

func (r *reader) sensor(n *node) (s Sensor) {
	r.members(n, &s.Extensions, func(key string, v *node) bool {
		switch key {
		case "sensorMetadata":
			s.HasMeta = true
			r.members(v, &s.MetaExtensions, func(key string, v *node) bool { return r.sensed(r.meta[:], s.Meta[:], key, v) })
		case "sensorReport":
			s.Reports = make([]Report, 0, len(v.all))
			r.each(v, func(one *node) {
				var p Report
				r.members(one, &p.Extensions, func(key string, v *node) bool { return r.sensed(r.reports[:], p.Values[:], key, v) })
				if one.kind == object {
					r.required(one, "type")
				}
				s.Reports = append(s.Reports, p)
			})
			if v.kind == list && len(v.all) == 0 {
				r.failf("is empty")
			}
		default:
			return false
		}
		return true
	})
	if n.kind == object {
		r.required(n, "sensorReport")
	}
	return s
}

// sensed reads one value of a sensor; false = its name is none of the standard's.
func (r *reader) sensed(specs []fieldSpec, into []string, key string, v *node) bool {
	for i, spec := range specs {
		if spec.name == key {
			into[i] = r.formed(spec.form, v)
			return true
		}
	}
	return false
}

func (r *reader) formed(f form, v *node) string {
	switch f {
	case asTime:
		if t := r.time(v); !t.IsZero() {
			return formatTime(t)
		}
		return ""
	case asNumber:
		return r.number(v)
	case asBool:
		if r.is(v, boolean) {
			return v.text
		}
		return ""
	case asHex:
		s := r.text(v)
		if v.kind == text && !isHex(s) {
			r.failf("%q is not hexadecimal", clip(s))
		}
		return s
	case asMeasurement:
		return r.word(v, r.words.measurement)
	case asAlert:
		return r.word(v, r.words.alert)
	case asComponent:
		return r.word(v, r.words.component)
	case asText:
		return r.text(v)
	case asURI:
	}
	return r.uri(v)
}
