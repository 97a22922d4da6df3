package gs1

// rule is what the content of a component must fulfil beyond its characters.
type rule uint8

const (
	noRule rule = iota
	ruleCheckDigit
	ruleCheckPair
	ruleDayMayBeZero
	ruleDay
	ruleDayOfCentury
	ruleHour
	ruleHourMinute
	ruleSixty
	rulePercent
	ruleLatitude
	ruleLongitude
	ruleYesNo
	ruleHyphen
	ruleZero
	ruleNoZeroPrefix
	rulePiece
	ruleIBAN
	ruleAlpha2
)

// ruleOf finds a rule by its name in the table of AIs.
func ruleOf(name string) rule {
	return map[string]rule{
		"csum": ruleCheckDigit, "csumalpha": ruleCheckPair,
		"yymmd0": ruleDayMayBeZero, "yymmdd": ruleDay, "yyyymmdd": ruleDayOfCentury,
		"hh": ruleHour, "hhmi": ruleHourMinute, "mi": ruleSixty,
		"pcenc": rulePercent, "latitude": ruleLatitude, "longitude": ruleLongitude,
		"yesno": ruleYesNo, "hyphen": ruleHyphen, "zero": ruleZero, "nozeroprefix": ruleNoZeroPrefix,
		"pieceoftotal": rulePiece, "iban": ruleIBAN, "alpha2": ruleAlpha2,
	}[name]
}

// check says why s breaks the rule, "" when it does not. The characters of s are of
// their set.
func (r rule) check(s string) string {
	ok, reason := true, ""
	switch r {
	case noRule:
	case ruleCheckDigit:
		last := len(s) - 1
		if want := CheckDigit(s[:last]); s[last] != want {
			return "check digit is " + s[last:] + ", should be " + string(want)
		}
	case ruleCheckPair:
		if want := checkPair(s); want == "" || s[len(s)-2:] != want {
			return "the pair of check characters at its end is wrong"
		}
	case ruleDayMayBeZero:
		ok, reason = isDate(s, true), "is not a date YYMMDD"
	case ruleDay:
		ok, reason = isDate(s, false), "is not a date YYMMDD"
	case ruleDayOfCentury:
		ok, reason = isDate(s, false), "is not a date YYYYMMDD"
	case ruleHour:
		ok, reason = s < "24", "has an hour beyond 23"
	case ruleHourMinute:
		ok, reason = s[:2] < "24" && s[2:] < "60", "is not a time HHMM"
	case ruleSixty:
		ok, reason = s < "60", "has a minute or second beyond 59"
	case rulePercent:
		_, ok = unescape(s)
		reason = "has a broken percent-escape"
	case ruleLatitude:
		ok, reason = s <= "1800000000", "is beyond the pole"
	case ruleLongitude:
		ok, reason = s <= "3600000000", "is beyond 360 degrees"
	case ruleYesNo:
		ok, reason = s == "0" || s == "1", "should be 0 or 1"
	case ruleHyphen:
		ok, reason = s == "-", "should end with a hyphen or a digit"
	case ruleZero:
		ok, reason = s == "0", "should begin with 0"
	case ruleNoZeroPrefix:
		ok, reason = s == "0" || s[0] != '0', "should not begin with 0"
	case rulePiece:
		ok, reason = s[:2] != "00" && s[:2] <= s[2:], "is not a piece of a total"
	case ruleIBAN:
		ok, reason = isIBAN(s), "is not an IBAN"
	case ruleAlpha2:
		ok, reason = 'A' <= s[0] && s[0] <= 'Z' && 'A' <= s[1] && s[1] <= 'Z', "is not a country of two letters"
	}
	if ok {
		return ""
	}
	return reason
}

// isDate holds YYMMDD or YYYYMMDD to the calendar. A year of two digits is in this
// century; day 00 stands for the month's last where it is allowed.
func isDate(s string, zeroDay bool) bool {
	year := number(s[:len(s)-4])
	month, day := number(s[len(s)-4:len(s)-2]), number(s[len(s)-2:])
	if month < 1 || month > 12 {
		return false
	}
	days := [...]int{31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}[month-1]
	if month == 2 && year%4 == 0 && (year%100 != 0 || year%400 == 0 || len(s) == 6) {
		days++
	}
	return day <= days && (day > 0 || zeroDay)
}

// checkPair are the check characters of the model number whose last two characters
// they should be (General Specifications, 7.9.5): each character's place in set 82
// times a prime, modulo 1021, in two characters of base 32.
func checkPair(s string) string {
	const alphabet = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
	primes := [...]int{2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83}
	n := len(s) - 2
	if n < 1 || n > len(primes) {
		return ""
	}
	sum := 0
	for i := range n {
		sum += place82(s[i]) * primes[n-1-i]
	}
	sum %= 1021
	return string([]byte{alphabet[sum>>5], alphabet[sum&31]})
}

// place82 is a character's place in set 82.
func place82(c byte) (place int) {
	for b := range c {
		if in82(b) {
			place++
		}
	}
	return place
}

// isIBAN holds a bank account number to its check digits (ISO 13616).
func isIBAN(s string) bool {
	if len(s) < 5 {
		return false
	}
	rest := 0
	for i := range len(s) {
		switch c := s[(i+4)%len(s)]; {
		case isDigit(c):
			rest = (rest*10 + int(c-'0')) % 97
		case 'A' <= c && c <= 'Z':
			rest = (rest*100 + int(c-'A') + 10) % 97
		default:
			return false
		}
	}
	return rest == 1
}
