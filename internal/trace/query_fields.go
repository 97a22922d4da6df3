package trace

import (
	"slices"
	"strings"
)

// sensed reads the parameters about sensors.
func (b *queryReader) sensed() bool {
	report := func(i int) func(r *Report) string { return func(r *Report) string { return r.Values[i] } }
	switch b.name {
	case "EXISTS_sensorElementList":
		want := b.boolean()
		b.test(func(p *Unpacked) bool { return (len(p.Sensors) > 0) == want })
	case "GE_startTime", "LT_startTime", "GE_endTime", "LT_endTime", "GE_time", "LT_time":
		at := map[string]int{"startTime": metaStart, "endTime": metaEnd, "time": metaTime}[b.name[3:]]
		op, want := b.name[:2], formatTime(b.time())
		b.test(func(p *Unpacked) bool {
			return slices.ContainsFunc(p.Sensors, func(s Sensor) bool {
				if s.Meta[at] != "" && holds(op, strings.Compare(s.Meta[at], want)) {
					return true
				}
				return at == metaTime && slices.ContainsFunc(s.Reports, func(r Report) bool {
					return r.Values[reportTime] != "" && holds(op, strings.Compare(r.Values[reportTime], want))
				})
			})
		})
	case "EQ_type":
		b.report(b.words(b.Codec.words.measurement), report(reportType))
	case "EQ_deviceID":
		b.device(metaDevice, report(reportDevice))
	case "EQ_dataProcessingMethod":
		b.device(metaMethod, report(reportMethod))
	case "EQ_bizRules":
		b.device(metaRules, report(reportRules))
	case "EQ_microorganism":
		b.report(b.values, report(reportMicro))
	case "EQ_chemicalSubstance":
		b.report(b.values, report(reportChem))
	case "EQ_stringValue":
		b.report(b.values, report(reportString))
	case "EQ_hexBinaryValue":
		b.report(b.values, report(reportHex))
	case "EQ_uriValue":
		b.report(b.canonicals(), func(r *Report) string { return Canonical(r.Values[reportURI]) })
	case "EQ_booleanValue":
		want := "false"
		if b.boolean() {
			want = "true"
		}
		b.report([]string{want}, report(reportBool))
	default:
		return b.measured()
	}
	return true
}

// report is the test that a value of a report is among those that were asked for.
func (b *queryReader) report(values []string, of func(r *Report) string) {
	b.test(func(p *Unpacked) bool {
		return slices.ContainsFunc(p.Sensors, func(s Sensor) bool {
			return slices.ContainsFunc(s.Reports, func(r Report) bool {
				v := of(&r)
				return v != "" && slices.Contains(values, v)
			})
		})
	})
}

// device is report for what may stand in the metadata too.
func (b *queryReader) device(meta int, of func(r *Report) string) {
	all := b.canonicals()
	b.test(func(p *Unpacked) bool {
		return slices.ContainsFunc(p.Sensors, func(s Sensor) bool {
			return s.Meta[meta] != "" && slices.Contains(all, Canonical(s.Meta[meta])) ||
				slices.ContainsFunc(s.Reports, func(r Report) bool {
					v := of(&r)
					return v != "" && slices.Contains(all, Canonical(v))
				})
		})
	})
}

// measured reads GE_value_CEL and its kin: a comparison, a value, its unit. percRank has
// none.
func (b *queryReader) measured() bool {
	op, rest, ok := strings.Cut(b.name, "_")
	if !ok || !isComparison(op) {
		return false
	}
	field, unit, _ := strings.Cut(rest, "_")
	at := -1
	for _, i := range [...]int{reportValue, reportMin, reportMax, reportMean, reportDev, reportPercent, reportRank} {
		if b.Codec.reports[i].name == field {
			at = i
		}
	}
	if at < 0 || (unit == "") != (at == reportRank) {
		return false
	}
	want := b.number()
	b.test(func(p *Unpacked) bool {
		return slices.ContainsFunc(p.Sensors, func(s Sensor) bool {
			return slices.ContainsFunc(s.Reports, func(r Report) bool {
				return (unit == "" || r.Values[reportUnit] == unit) && r.Values[at] != "" && holds(op, compareNumbers(r.Values[at], want))
			})
		})
	})
	return true
}

func isComparison(op string) bool {
	switch op {
	case "EQ", "GT", "GE", "LT", "LE":
		return true
	}
	return false
}

// flexible reads the parameters whose names hold the name of a type or of a field.
func (b *queryReader) flexible() bool {
	for prefix, of := range map[string]func(p *Unpacked) []Typed{
		"EQ_bizTransaction_": func(p *Unpacked) []Typed { return p.Transactions },
		"EQ_source_":         func(p *Unpacked) []Typed { return p.Sources },
		"EQ_destination_":    func(p *Unpacked) []Typed { return p.Destinations },
	} {
		kind, ok := strings.CutPrefix(b.name, prefix)
		if !ok {
			continue
		}
		words := b.Codec.words.party
		if prefix == "EQ_bizTransaction_" {
			words = b.Codec.words.transaction
		}
		kind = words.bare(kind)
		all := b.canonicals()
		if prefix == "EQ_bizTransaction_" {
			b.drive(BusinessTerm, all)
		}
		b.test(func(p *Unpacked) bool {
			return slices.ContainsFunc(of(p), func(t Typed) bool { return t.Type == kind && slices.Contains(all, Canonical(t.ID)) })
		})
		return true
	}
	op, rest, ok := strings.Cut(b.name, "_")
	if !ok || op != "EXISTS" && !isComparison(op) {
		return false
	}
	return b.extension(op, rest)
}

// extension reads EQ_[INNER_][ILMD_…]fieldname: the name as an address, or with a prefix of
// the standard's context.
func (b *queryReader) extension(op, name string) bool {
	name, inner := strings.CutPrefix(name, "INNER_")
	of := func(p *Unpacked) [][]Field { return [][]Field{p.Extensions} }
	for prefix, where := range map[string]func(p *Unpacked) [][]Field{
		"ILMD_":              func(p *Unpacked) [][]Field { return [][]Field{p.ILMD} },
		"READPOINT_":         func(p *Unpacked) [][]Field { return [][]Field{p.ReadPoint.Extensions} },
		"BIZLOCATION_":       func(p *Unpacked) [][]Field { return [][]Field{p.Location.Extensions} },
		"ERROR_DECLARATION_": declarationFields,
		"SENSORELEMENT_":     sensorFields(func(s *Sensor) [][]Field { return [][]Field{s.Extensions} }),
		"SENSORMETADATA_":    sensorFields(func(s *Sensor) [][]Field { return [][]Field{s.MetaExtensions} }),
		"SENSORREPORT_": sensorFields(func(s *Sensor) (all [][]Field) {
			for i := range s.Reports {
				all = append(all, s.Reports[i].Extensions)
			}
			return all
		}),
	} {
		if rest, ok := strings.CutPrefix(name, prefix); ok {
			name, of = rest, where
			break
		}
	}
	inner = inner || strings.HasPrefix(name, "INNER_")
	full := fieldName(strings.TrimPrefix(name, "INNER_"))
	if full == "" {
		return false
	}
	value := b.valueTest(op)
	b.test(func(p *Unpacked) bool {
		for _, fields := range of(p) {
			if hasField(fields, full, inner, value) {
				return true
			}
		}
		return false
	})
	return true
}

// fieldName reads the name of an extension; "" = it is none.
func fieldName(name string) string {
	name = strings.Replace(name, "%23", "#", 1)
	if !isURI(name) {
		return ""
	}
	return standardPrefixes().expand(name)
}

func declarationFields(p *Unpacked) [][]Field {
	if p.Declared == nil {
		return nil
	}
	return [][]Field{p.Declared.Extensions}
}

func sensorFields(of func(s *Sensor) [][]Field) func(p *Unpacked) [][]Field {
	return func(p *Unpacked) (all [][]Field) {
		for i := range p.Sensors {
			all = append(all, of(&p.Sensors[i])...)
		}
		return all
	}
}

// valueTest compares as times when both are, else as numbers when both are, else as texts,
// which only EQ does.
func (b *queryReader) valueTest(op string) func(s string) bool {
	if op == "EXISTS" {
		return func(string) bool { return true }
	}
	if op == "EQ" {
		return func(s string) bool {
			return slices.ContainsFunc(b.values, func(want string) bool {
				return s == want || isNumeral(plainNumber(s)) && plainNumber(s) == plainNumber(want)
			})
		}
	}
	want := b.one()
	if at, ok := parseTime(want); ok {
		return func(s string) bool {
			t, ok := parseTime(s)
			return ok && holds(op, t.Compare(at))
		}
	}
	number := b.number()
	return func(s string) bool {
		n := plainNumber(s)
		return isNumeral(n) && holds(op, compareNumbers(n, number))
	}
}

// hasField looks for a field with a value that passes; with inner only below the top.
func hasField(fields []Field, full string, inner bool, value func(s string) bool) bool {
	for i := range fields {
		f := &fields[i]
		if !inner && strings.TrimSuffix(f.Space, "#")+f.Name == strings.Replace(full, "#", "", 1) && anyText(&f.Value, value) {
			return true
		}
		if inner && hasInner(&f.Value, full, value) {
			return true
		}
	}
	return false
}

func hasInner(v *Value, full string, value func(s string) bool) bool {
	for i := range v.List {
		if hasInner(&v.List[i], full, value) {
			return true
		}
	}
	return hasField(v.Fields, full, false, value) || hasField(v.Fields, full, true, value)
}

func anyText(v *Value, value func(s string) bool) bool {
	if v.kind == list {
		return slices.ContainsFunc(v.List, func(one Value) bool { return anyText(&one, value) })
	}
	return value(strings.TrimSpace(v.Text))
}
