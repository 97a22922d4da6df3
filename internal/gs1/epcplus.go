package gs1

import (
	"fmt"
	"math"
	"math/bits"
	"slices"
	"strings"
)

// plus is what the encodings of TDS 2.0 ("SGTIN+") and 2.3 ("SGTIN++") have beside
// the AIs of their key.
type plus struct {
	date bool // a date stands before the key: DSGTIN+
	host bool // a host name follows, which is not ours and is passed over
}

// plusOf tells an encoding by its header (TDS, table 14-1).
func plusOf(header uint64) ([]AI, plus) {
	const first, firstWithHost = 0xF0, 0xE6
	keys := [...]string{"8010 8011", "8003", "414 254", "8006 21", "8018", "8017", "253", "01 21", "255", "00", "8004"}
	hosts := [...]int{0, 4, 5, 2, 6, 1, 8, 3, 10, 9} // the same keys in another order
	at, p := -1, plus{}
	switch {
	case header == 0xFB, header == 0xFC:
		at, p = 7, plus{date: true, host: header == 0xFC}
	case header == 0xFD:
		at, p = 7, plus{host: true}
	case header >= first && header < first+uint64(len(keys)):
		at = int(header - first)
	case header >= firstWithHost && header < firstWithHost+uint64(len(hosts)):
		at, p = hosts[header-firstWithHost], plus{host: true} //nolint:gosec // within, by the case
	}
	if at < 0 {
		return nil, p
	}
	return toAIs(strings.Fields(keys[at])), p //nolint:gosec // within, by the cases
}

// readPlus reads the key's AIs, and those that follow when the first bit says so
// (TDS, 15.3).
func (r *bitReader) readPlus(ais []AI, p plus) (all []Element, err error) {
	more := r.take(1) == 1
	r.take(3) // what kind of package it is
	add := func(ai AI, value string, failed error) {
		if err = failed; err == nil && r.cut {
			err = badCompressed("ends within a value")
		}
		if err == nil {
			all, err = addElement(all, ai, value)
		}
	}
	if p.date {
		kinds := [...]AI{"11", "13", "15", "16", "17", "7006", "7007"}
		kind := int(r.take(4))
		if kind >= len(kinds) {
			return nil, badCompressed("has a date of no known kind")
		}
		if add(kinds[kind], r.readDate(), nil); err != nil { //nolint:gosec // within, as was just asked
			return nil, err
		}
	}
	for _, ai := range ais {
		value, failed := r.readTagged(ai)
		if ai == "254" && value == "0" && failed == nil { // extension 0 is none (TDS, section 6.3.3)
			continue
		}
		if add(ai, value, failed); err != nil {
			return nil, err
		}
	}
	if p.host {
		r.skipHost()
	}
	const shortest = 8 + 72 // of an SSCC, the only AI that begins with zeros
	for more && len(r.bits)-r.at >= 8 && (len(r.bits)-r.at >= shortest || slices.Contains(r.bits[r.at:r.at+8], 1)) {
		ai := r.readAI(hexDigit(r.take(4)) + hexDigit(r.take(4)))
		value, failed := r.readTagged(ai)
		if add(ai, value, failed); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// skipHost passes over a host name: a bit that says how it is written, six for its
// length, then three characters in 16 bits or one in 7 (TDS, 14.5.16).
func (r *bitReader) skipHost() {
	ascii := r.take(1) == 1
	n := int(r.take(6))
	if ascii {
		r.take(7 * n)
		return
	}
	r.take((n + 2) / 3 * 16)
}

// readTagged reads a value as TDS writes it (table F). The shape of most AIs tells how.
func (r *bitReader) readTagged(ai AI) (string, error) {
	e := entries()[ai]
	if e == nil {
		return "", badCompressed("has %q where an Application Identifier should be", clip(string(ai)))
	}
	switch ai {
	case "7023", "8004", "8010":
		return r.readDelimited(e)
	case "7040":
		return r.readAlphanumeric(e.max)
	case "8007":
		return r.readAlphanumeric(24)
	case "423", "425":
		return r.readLengthy(e.max)
	case "7003", "4324", "4325":
		return r.readDate() + r.readClock(2), nil
	case "7007":
		if r.take(1) == 0 {
			return r.readDate(), nil
		}
		return r.readDate() + r.readDate(), nil
	case "7011", "8008":
		precision := int(r.take(2))
		return r.readDate() + r.readClock((precision+1)%4), nil
	case "4307", "4317":
		return base64Alphabet[r.take(6):][:1] + base64Alphabet[r.take(6):][:1], nil
	case "4321", "4322", "4323":
		return hexDigit(r.take(1)), nil
	case "7258":
		return hexDigit(r.take(4)) + "/" + hexDigit(r.take(4)), nil
	}
	if first := e.parts[0].rule; len(e.parts) == 1 && (first == ruleDay || first == ruleDayMayBeZero) {
		return r.readDate(), nil
	}
	return r.readComponents(e)
}

func (r *bitReader) readComponents(e *entry) (string, error) {
	packed := e.ai == "7241" || e.ai != "402" && slices.ContainsFunc(e.parts, func(p part) bool { return p.rule == ruleCheckDigit })
	var value strings.Builder
	for _, c := range e.components() {
		var text string
		var err error
		switch {
		case e.parts[len(e.parts)-1].rule == ruleHyphen && c.set != 'N':
			text = strings.Repeat("-", int(r.take(1)))
		case c.set != 'N':
			text, err = r.readAlphanumeric(c.max)
		case c.min != c.max:
			text, err = r.readLengthy(c.max)
		case packed:
			text = r.readHex(c.max)
		default:
			text, err = r.readNumber(c.max, numberBits(c.max))
		}
		if err != nil {
			return "", err
		}
		value.WriteString(text)
	}
	return value.String(), nil
}

// readHex reads digits of four bits.
func (r *bitReader) readHex(n int) string {
	var b strings.Builder
	b.Grow(n)
	for range n {
		b.WriteString(hexDigit(r.take(4)))
	}
	return b.String()
}

// numberBits is how many bits a number of n digits takes (TDS, table B).
func numberBits(n int) int { return int(math.Ceil(float64(n) * math.Log2(10))) }

// readLengthy reads digits whose number stands before them (TDS, 14.5.13).
func (r *bitReader) readLengthy(most int) (string, error) {
	n := int(r.take(bits.Len(uint(most))))
	return r.readNumber(n, numberBits(n))
}

// readDelimited reads digits of four bits up to their end, or to a text (TDS, 14.5.5).
func (r *bitReader) readDelimited(e *entry) (string, error) {
	const end, text = 15, 14
	value := ""
	for range e.max + 1 {
		switch digit := r.take(4); digit {
		case end:
			return value, nil
		case text:
			rest, err := r.readAlphanumeric(e.max)
			return value + rest, err
		default:
			value += hexDigit(digit)
		}
	}
	return "", badCompressed("has a value without an end")
}

// readAlphanumeric reads a text: how it is written, its length, itself (TDS, 14.5.6).
func (r *bitReader) readAlphanumeric(most int) (string, error) {
	const digits, upper, lower, code40 = 0, 1, 2, 5
	how := r.take(3)
	n := int(r.take(bits.Len(uint(most))))
	switch how {
	case digits:
		return r.readNumber(n, numberBits(n))
	case upper:
		how = lower // compressed links have it the other way round
	case lower:
		how = upper
	case code40:
		return r.readCode40(n)
	}
	return r.readText(how, n)
}

// readCode40 reads three characters from 16 bits (TDS, 14.5.6.5).
func (r *bitReader) readCode40(n int) (string, error) {
	const alphabet = "\x00ABCDEFGHIJKLMNOPQRSTUVWXYZ-.:0123456789"
	var b []byte
	for len(b) < n {
		v := int(r.take(16)) - 1
		if v < 0 || v >= 40*40*40 {
			return "", badCompressed("has three characters that are none")
		}
		b = append(b, alphabet[v/1600], alphabet[v/40%40], alphabet[v%40])
	}
	return string(b[:n]), nil
}

// readDate reads YYMMDD. What cannot be a date is refused where the AI is checked.
func (r *bitReader) readDate() string {
	year, month, day := r.take(7), r.take(4), r.take(5)
	return fmt.Sprintf("%02d%02d%02d", year, month, day)
}

// readClock reads hours, then minutes, then seconds.
func (r *bitReader) readClock(parts int) (value string) {
	width := 5
	for range parts {
		value += fmt.Sprintf("%02d", r.take(width)) //nolint:perfsprint // a few digits
		width = 6
	}
	return value
}
