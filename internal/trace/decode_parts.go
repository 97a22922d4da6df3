package trace

// The parts of an event that are objects of their own.

func (r *reader) declaration(n ref) *ErrorDeclaration {
	d := &ErrorDeclaration{}
	r.is(n, object)
	for key, v := range r.members(n) {
		switch key {
		case "declarationTime":
			d.Time = r.time(v)
		case "reason":
			d.Reason = r.word(v, r.words.reason)
		case "correctiveEventIDs":
			d.Corrective = r.uris(v)
		default:
			r.extension(n, &d.Extensions, key, v)
		}
	}
	if r.kind(n) == object {
		r.required(n, "declarationTime")
	}
	return d
}

func (r *reader) persistent(e *Event, n ref) {
	words := func(v ref) (out []string) {
		r.is(v, list)
		for one := range r.elements(v) {
			out = append(out, r.word(one, r.words.disposition))
		}
		if r.kind(v) == list && len(out) == 0 {
			r.failf(v, "is empty")
		}
		if len(r.problems) == 0 {
			r.once(v, out)
		}
		return out
	}
	r.is(n, object)
	for key, v := range r.members(n) {
		switch key {
		case "set":
			e.Set = words(v)
		case "unset":
			e.Unset = words(v)
		default:
			r.extension(n, nil, key, v)
		}
	}
	if r.kind(n) == object && r.get(n, "set") == 0 && r.get(n, "unset") == 0 {
		r.failf(n, "set or unset is needed")
	}
}

func (r *reader) place(n ref) (p Place) {
	named := false
	r.is(n, object)
	for key, v := range r.members(n) {
		switch {
		case key == "id":
			p.ID, named = r.identifier(v), true
		case !isURI(key): // the schema takes anything here
			r.failOursf(v, "is not a field here, and no extension: those have a prefix that is declared in @context")
		default:
			p.Extensions = append(p.Extensions, r.field(key, v))
		}
	}
	if !named && r.kind(n) == object {
		r.failf(n, "id is missing")
	}
	return p
}

func (r *reader) quantities(n ref) []Quantity {
	out := make([]Quantity, 0, r.len(n))
	r.is(n, list)
	for one := range r.elements(n) {
		var q Quantity
		named := false
		r.is(one, object)
		for key, v := range r.members(one) {
			switch key {
			case "epcClass":
				q.Class, named = r.identifier(v), true
			case "quantity":
				q.Number = r.number(v)
			case "uom":
				if q.Unit = r.text(v); r.kind(v) == text && !isUnit(q.Unit) {
					r.failf(v, "%q is not a unit code of two or three capitals and digits", clip(q.Unit))
				}
			default:
				r.extension(one, nil, key, v)
			}
		}
		if !named && r.kind(one) == object {
			r.failf(one, "epcClass is missing")
		}
		out = append(out, q)
	}
	return out
}

func (r *reader) number(v ref) string {
	if !r.is(v, number) {
		return ""
	}
	return plainNumber(r.tree.text(v))
}

// typed reads the elements of a list of business transactions, sources or destinations.
func (r *reader) typed(n ref, name string, words *vocabulary, typeNeeded bool) []Typed {
	out := make([]Typed, 0, r.len(n))
	r.is(n, list)
	for one := range r.elements(n) {
		var t Typed
		r.is(one, object)
		for key, v := range r.members(one) {
			switch key {
			case "type":
				t.Type = r.word(v, words)
			case name:
				t.ID = r.uri(v)
			default:
				r.extension(one, nil, key, v)
			}
		}
		if r.kind(one) == object {
			r.required(one, name)
			if typeNeeded {
				r.required(one, "type")
			}
		}
		out = append(out, t)
	}
	return out
}

func (r *reader) sensors(n ref) []Sensor {
	out := make([]Sensor, r.len(n))
	i := 0
	r.is(n, list)
	for one := range r.elements(n) {
		r.sensor(&out[i], one)
		i++
	}
	return out
}

func (r *reader) sensor(s *Sensor, n ref) {
	reported := false
	r.is(n, object)
	for key, v := range r.members(n) {
		switch key {
		case "sensorMetadata":
			s.HasMeta = true
			r.sensed(r.meta[:], s.Meta[:], v, &s.MetaExtensions)
		case "sensorReport":
			reported = true
			s.Reports = make([]Report, r.len(v))
			i := 0
			r.is(v, list)
			for one := range r.elements(v) {
				p := &s.Reports[i]
				r.sensed(r.reports[:], p.Values[:], one, &p.Extensions)
				if r.kind(one) == object && r.get(one, "type") == 0 {
					r.failf(one, "type is missing")
				}
				i++
			}
			if r.kind(v) == list && i == 0 {
				r.failf(v, "is empty")
			}
		default:
			r.extension(n, &s.Extensions, key, v)
		}
	}
	if !reported && r.kind(n) == object {
		r.failf(n, "sensorReport is missing")
	}
}

// sensed reads the values of a sensor.
func (r *reader) sensed(specs []fieldSpec, into []string, n ref, extensions *[]Field) {
	r.is(n, object)
	for key, v := range r.members(n) {
		i := 0
		for i < len(specs) && specs[i].name != key {
			i++
		}
		if i < len(specs) {
			into[i] = r.formed(specs[i].form, v)
		} else {
			r.extension(n, extensions, key, v)
		}
	}
}

func (r *reader) formed(f form, v ref) string {
	switch f {
	case asTime:
		t := r.time(v)
		switch s := r.tree.text(v); {
		case t.IsZero():
			return ""
		case len(s) == len(timeForm) && plainTime(s) && t.Year() >= 1900: // it is in that form
			return s
		}
		return formatTime(t)
	case asNumber:
		return r.number(v)
	case asBool:
		if r.is(v, boolean) {
			return r.tree.text(v)
		}
		return ""
	case asHex:
		s := r.text(v)
		if r.kind(v) == text && !isHex(s) {
			r.failf(v, "%q is not hexadecimal", clip(s))
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
