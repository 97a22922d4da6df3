package gs1

import (
	"slices"
	"strconv"
	"strings"
	"sync"
)

// AI is an Application Identifier: "01", "8004".
type AI string

// Element is an AI and its value, without escapes.
type Element struct {
	AI    AI
	Value string
}

// aiRows is what is known of each AI, in the shape of GS1's syntax dictionary:
//
//	AI or range, flags, parts of the value, "=" and sequences of qualifiers for a key
//
// Flags: "*" has a length known in advance, so no separator follows it; "?" may
// stand in the query of a Digital Link. Parts: N digits, X character set 82, Y 39,
// Z 64; "N6" exactly, "N..6" at most six, "[…]" may be absent, and the name of a
// rule (rules.go). Not held here: which AIs go together, and lists of codes (ISO
// 3166, ISO 4217, coupons), which change more often than a program.
//
//nolint:dupword // the parts of a value may be alike
const aiRows = `
00 *? N18,csum =
01 *? N14,csum =22,10,21|235
02 *? N14,csum
03 * N14,csum
10 ? X..20
11 *? N6,yymmd0
12 *? N6,yymmd0
13 *? N6,yymmd0
15 *? N6,yymmd0
16 *? N6,yymmd0
17 *? N6,yymmd0
20 *? N2
21 . X..20
22 . X..20
235 . X..28
240-241 ? X..30
242 ? N..6
243 ? X..20
250-251 ? X..30
253 ? N13,csum [X..17] =
254 . X..20
255 ? N13,csum [N..12] =
30 ? N..8
3100-3105 *? N6
3110-3115 *? N6
3120-3125 *? N6
3130-3135 *? N6
3140-3145 *? N6
3150-3155 *? N6
3160-3165 *? N6
3200-3205 *? N6
3210-3215 *? N6
3220-3225 *? N6
3230-3235 *? N6
3240-3245 *? N6
3250-3255 *? N6
3260-3265 *? N6
3270-3275 *? N6
3280-3285 *? N6
3290-3295 *? N6
3300-3305 *? N6
3310-3315 *? N6
3320-3325 *? N6
3330-3335 *? N6
3340-3345 *? N6
3350-3355 *? N6
3360-3365 *? N6
3370-3375 *? N6
3400-3405 *? N6
3410-3415 *? N6
3420-3425 *? N6
3430-3435 *? N6
3440-3445 *? N6
3450-3455 *? N6
3460-3465 *? N6
3470-3475 *? N6
3480-3485 *? N6
3490-3495 *? N6
3500-3505 *? N6
3510-3515 *? N6
3520-3525 *? N6
3530-3535 *? N6
3540-3545 *? N6
3550-3555 *? N6
3560-3565 *? N6
3570-3575 *? N6
3600-3605 *? N6
3610-3615 *? N6
3620-3625 *? N6
3630-3635 *? N6
3640-3645 *? N6
3650-3655 *? N6
3660-3665 *? N6
3670-3675 *? N6
3680-3685 *? N6
3690-3695 *? N6
37 ? N..8
3900-3909 ? N..15
3910-3919 ? N3 N..15
3920-3929 ? N..15
3930-3939 ? N3 N..15
3940-3943 ? N4
3950-3955 ? N6
400 ? X..30
401 ? X..30 =
402 ? N17,csum =
403 ? X..30
410-413 *? N13,csum
414 *? N13,csum =254|7040
415 *? N13,csum =8020
416 *? N13,csum
417 *? N13,csum =7040
420 ? X..20
421 ? N3 X..9
422 ? N3
423 ? N3 [N3] [N3] [N3] [N3]
424 ? N3
425 ? N3 [N3] [N3] [N3] [N3]
426 ? N3
427 ? X..3
4300-4301 ? X..35,pcenc
4302-4306 ? X..70,pcenc
4307 ? X2,alpha2
4308 ? X..30
4309 ? N10,latitude N10,longitude
4310-4311 ? X..35,pcenc
4312-4316 ? X..70,pcenc
4317 ? X2,alpha2
4318 ? X..20
4319 ? X..30
4320 ? X..35,pcenc
4321-4323 ? N1,yesno
4324-4325 ? N6,yymmd0 N4,hhmi
4326 ? N6,yymmdd
4330-4333 ? N6 [X1],hyphen
7001 ? N13
7002 ? X..30
7003 ? N6,yymmdd N4,hhmi
7004 ? N..4
7005 ? X..12
7006 ? N6,yymmdd
7007 ? N6,yymmdd [N6],yymmdd
7008 ? X..3
7009 ? X..10
7010 ? X..2
7011 ? N6,yymmdd [N4],hhmi
7020-7022 ? X..20
7023 ? X..30
7030-7039 ? N3 X..27
7040 . N1 X1 X1 X1
7041 . X..4
710-716 ? X..20
7230-7239 ? X2 X..28
7240 ? X..20
7241 ? N2
7242 ? X..25
7250 ? N8,yyyymmdd
7251 ? N8,yyyymmdd N4,hhmi
7252 ? N1
7253-7254 ? X..40,pcenc
7255 ? X..10
7256 ? X..90,pcenc
7257 ? X..70,pcenc
7258 ? X3
7259 ? X..40,pcenc
8001 ? N4 N5 N3 N1 N1
8002 ? X..20
8003 ? N1,zero N13,csum [X..16] =
8004 ? X..30 =7040
8005 ? N6
8006 ? N14,csum N4,pieceoftotal =22,10,21
8007 ? X..34,iban
8008 ? N6,yymmdd N2,hh [N2],mi [N2],mi
8009 ? X..50
8010 ? Y..30 =8011
8011 . N..12,nozeroprefix
8012 ? X..20
8013 ? X..25,csumalpha =
8014 . X..25,csumalpha
8017-8018 ? N18,csum =8019
8019 . N..10
8020 . X..25
8026 ? N14,csum N4,pieceoftotal
8030 ? Z..90
8110 ? X..70
8111 ? N4
8112 ? X..70
8200 . X..70
90 ? X..30
91-99 ? X..90
`

// entry is one AI of the dictionary.
type entry struct {
	ai        AI
	fixed     bool // no separator follows it
	attribute bool // may stand in a query
	key       bool // may begin the path of a Digital Link
	sequences [][]AI
	parts     []part
	min, max  int // length of the value
}

// part is one component of a value.
type part struct {
	set      byte
	min, max int
	optional bool
	rule     rule
}

const (
	aiDigitsMax   = 4
	qualifiersMax = 3
)

// entries is the dictionary, read once.
var entries = sync.OnceValue(func() map[AI]*entry {
	all := make(map[AI]*entry, 600)
	for row := range strings.Lines(strings.TrimSpace(aiRows)) {
		fields := strings.Fields(row)
		first, last, isRange := strings.Cut(fields[0], "-")
		if !isRange {
			last = first
		}
		e := entry{fixed: strings.Contains(fields[1], "*"), attribute: strings.Contains(fields[1], "?")}
		for _, field := range fields[2:] {
			if sequences, ok := strings.CutPrefix(field, "="); ok {
				e.key, e.sequences = true, readSequences(sequences)
				continue
			}
			p := readPart(field)
			e.parts = append(e.parts, p)
			e.max += p.max
			if !p.optional {
				e.min += p.min
			}
		}
		for n := number(first); n <= number(last); n++ {
			one := e
			one.ai = AI(strconv.Itoa(n))
			if len(one.ai) < len(first) {
				one.ai = "0" + one.ai
			}
			all[one.ai] = &one
		}
	}
	return all
})

// IsKey reports whether the AI can begin the path of a Digital Link.
func (ai AI) IsKey() bool {
	e := entries()[ai]
	return e != nil && e.key
}

// Keys are all AIs that can, in order.
func Keys() (keys []AI) {
	for ai, e := range entries() {
		if e.key {
			keys = append(keys, ai)
		}
	}
	slices.Sort(keys)
	return keys
}

func readSequences(text string) (all [][]AI) {
	if text == "" {
		return nil
	}
	for sequence := range strings.SplitSeq(text, "|") {
		var ais []AI
		for ai := range strings.SplitSeq(sequence, ",") {
			ais = append(ais, AI(ai))
		}
		all = append(all, ais)
	}
	return all
}

func readPart(text string) part {
	text, name, _ := strings.Cut(text, ",")
	var p part
	if strings.HasPrefix(text, "[") {
		p.optional, text = true, strings.Trim(text, "[]")
	}
	p.set, p.rule = text[0], ruleOf(name)
	if most, ok := strings.CutPrefix(text[1:], ".."); ok {
		p.min, p.max = 1, number(most)
		return p
	}
	p.min = number(text[1:])
	p.max = p.min
	return p
}

// number reads digits that the table holds or that were checked.
func number(digits string) (n int) {
	for i := range len(digits) {
		n = 10*n + int(digits[i]-'0')
	}
	return n
}

// Check says why a value cannot be the AI's, "" when it can.
func (ai AI) check(value string) string {
	e := entries()[ai]
	if e == nil {
		return "is not a GS1 Application Identifier"
	}
	return e.check(value)
}

func (e *entry) check(value string) string {
	if len(value) < e.min || len(value) > e.max {
		return lengthReason(len(value), e.min, e.max)
	}
	rest := value
	for i := range e.parts {
		p := &e.parts[i]
		if rest == "" && p.optional {
			break
		}
		n := min(len(rest), p.max)
		if n < p.min {
			return "has a component that is cut short"
		}
		if at := p.outside(rest[:n]); at >= 0 {
			return characterReason(p.set, len(value)-len(rest)+at)
		}
		if reason := p.rule.check(rest[:n]); reason != "" {
			return reason
		}
		rest = rest[n:]
	}
	return ""
}

func lengthReason(got, least, most int) string {
	if least == most {
		return "length is " + strconv.Itoa(got) + ", should be " + strconv.Itoa(most)
	}
	return "length is " + strconv.Itoa(got) + ", should be " + strconv.Itoa(least) + " to " + strconv.Itoa(most)
}

func characterReason(set byte, at int) string {
	where := "character " + strconv.Itoa(at+1)
	switch set {
	case 'N':
		return where + " is not an ASCII digit (0-9)"
	case 'Y':
		return where + " is not of GS1 character set 39"
	case 'Z':
		return where + " is not of GS1 character set 64"
	default:
		return where + " is not of GS1 character set 82"
	}
}

// outside is where the first character stands that is not of the part's set, -1 = none.
func (p *part) outside(s string) int {
	for i := range len(s) {
		if !inSet(p.set, s[i]) {
			return i
		}
	}
	return -1
}

func inSet(set, c byte) bool {
	switch set {
	case 'N':
		return isDigit(c)
	case 'Y':
		return isDigit(c) || 'A' <= c && c <= 'Z' || c == '#' || c == '-' || c == '/'
	case 'Z':
		return isAlphanumeric(c) || c == '-' || c == '_' || c == '='
	default:
		return in82(c)
	}
}
