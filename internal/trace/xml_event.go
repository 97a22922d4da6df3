package trace

// The fields of events in XML: what is a list, what an attribute, what a word.

func plainText(e *element) *draft { return &draft{kind: text, text: e.text} }

// numeral is a number when it is one, else the text that is then complained of.
func numeral(s string) *draft {
	if canonical := plainNumber(s); isNumeral(canonical) {
		return &draft{kind: number, text: canonical}
	}
	return &draft{kind: text, text: s}
}

func isNumeral(s string) bool {
	r := jsonReader{tree: &tree{doc: s}}
	return s != "" && r.number() == nil && r.at == len(s)
}

func word(v *vocabulary, s string) *draft { return &draft{kind: text, text: v.bare(s)} }

func (x *xmlReader) eventField(e *element) *draft {
	switch e.name.Local {
	case "epcList", "childEPCs", "inputEPCList", "outputEPCList", "correctiveEventIDs":
		return x.listOf(e, plainText)
	case "quantityList", "childQuantityList", "inputQuantityList", "outputQuantityList":
		return x.listOf(e, x.quantity)
	case "bizTransactionList":
		return x.listOf(e, x.typedBy(x.words.transaction))
	case "sourceList", "destinationList":
		return x.listOf(e, x.typedBy(x.words.party))
	case "certificationInfo":
		return &draft{kind: list, all: []draft{*plainText(e)}}
	case "bizStep":
		return word(x.words.step, e.text)
	case "disposition":
		return word(x.words.disposition, e.text)
	case "sensorElementList":
		return x.listOf(e, x.sensorElement)
	case "persistentDisposition", "errorDeclaration", "readPoint", "bizLocation", "ilmd":
		n := &draft{kind: object}
		x.members(n, e, x.inner)
		return n
	}
	return plainText(e)
}

// inner turns what stands in an event's objects.
func (x *xmlReader) inner(e *element) *draft {
	switch e.name.Local {
	case "set", "unset":
		return &draft{kind: list, all: []draft{*word(x.words.disposition, e.text)}}
	case "reason":
		return word(x.words.reason, e.text)
	case "correctiveEventIDs":
		return x.listOf(e, plainText)
	}
	return plainText(e)
}

func (x *xmlReader) listOf(e *element, each func(*element) *draft) *draft {
	n := &draft{kind: list}
	for _, child := range e.all {
		n.all = append(n.all, *each(child))
	}
	return n
}

func (x *xmlReader) quantity(e *element) *draft {
	n := &draft{kind: object}
	x.members(n, e, func(e *element) *draft {
		if e.name.Local == "quantity" {
			return numeral(e.text)
		}
		return plainText(e)
	})
	return n
}

func (x *xmlReader) typedBy(words *vocabulary) func(*element) *draft {
	return func(e *element) *draft {
		n := &draft{kind: object}
		for _, a := range e.attrs {
			n.set(a.Name.Local, word(words, a.Value))
		}
		n.set(e.name.Local, plainText(e))
		return n
	}
}

func (x *xmlReader) sensorElement(e *element) *draft {
	n := &draft{kind: object}
	x.members(n, e, func(e *element) *draft {
		switch e.name.Local {
		case "sensorMetadata":
			return x.sensed(e, x.meta[:])
		case "sensorReport":
			return &draft{kind: list, all: []draft{*x.sensed(e, x.reports[:])}}
		}
		return plainText(e)
	})
	return n
}

// sensed turns the attributes of a sensor's element into values.
func (x *xmlReader) sensed(e *element, specs []fieldSpec) *draft {
	forms := map[string]form{}
	for _, s := range specs {
		forms[s.name] = s.form
	}
	n := &draft{kind: object}
	for _, a := range e.attrs {
		key, v := x.key(a.Name), &draft{kind: text, text: a.Value}
		switch f, known := forms[key]; {
		case !known:
		case f == asNumber:
			v = numeral(a.Value)
		case f == asBool:
			if b, ok := map[string]string{"true": "true", "1": "true", "false": "false", "0": "false"}[a.Value]; ok {
				v = &draft{kind: boolean, text: b}
			}
		case f == asMeasurement:
			v = word(x.words.measurement, a.Value)
		case f == asAlert:
			v = word(x.words.alert, a.Value)
		case f == asComponent:
			v = word(x.words.component, a.Value)
		}
		n.set(key, v)
	}
	x.members(n, e, plainText)
	return n
}

// masterData turns a VocabularyList into a header.
func masterData(words *element) *draft {
	vocabularies := &draft{kind: list}
	for _, v := range words.all {
		things := &draft{kind: list}
		if l := v.find("VocabularyElementList"); l != nil {
			for _, e := range l.all {
				things.all = append(things.all, *thing(e))
			}
		}
		n := &draft{kind: object}
		n.set("type", v.attr("type"))
		n.set("vocabularyElementList", things)
		vocabularies.all = append(vocabularies.all, *n)
	}
	data, header := &draft{kind: object}, &draft{kind: object}
	data.set("vocabularyList", vocabularies)
	header.set("epcisMasterData", data)
	return header
}

func thing(e *element) *draft {
	n, attributes := &draft{kind: object}, &draft{kind: list}
	n.set("id", e.attr("id"))
	for _, child := range e.all {
		switch child.name.Local {
		case "attribute":
			one := &draft{kind: object}
			one.set("id", child.attr("id"))
			value := plainText(child)
			if len(child.all) > 0 { // it has parts
				value = &draft{kind: object}
			}
			one.set("attribute", value)
			attributes.all = append(attributes.all, *one)
		case "children":
			children := &draft{kind: list}
			for _, id := range child.all {
				children.all = append(children.all, *plainText(id))
			}
			n.set("children", children)
		}
	}
	n.set("attributes", attributes)
	return n
}
