package gs1

import (
	"encoding/hex"
	"strings"
	"testing"
)

// tdsVectors are the examples of TDS 2.3, annex E.3. Two headers are misprinted there and
// stand here as table 14-1 has them: SSCC++ (EF, not F9) and ITIP++ (ED, not F3).
func tdsVectors() map[string]string {
	const serial, example = "/21/32a%2Fb", "25065F1876F0D996D8"
	return map[string]string{
		"3066C4409047E140075BCD15":                                 "/01/09506000134352/21/123456789",
		"3066C4409047E14000001A85":                                 "/01/09506000134352/21/6789", // E.1
		"3666C4409047E159B2C2BF100000000000000000000000000000":     "/01/09506000134352" + serial,
		"F73795211411234538566CB0AFC4":                             "/01/79521141123453" + serial,
		"FB342CDE795211411234538566CB0AFC4":                        "/01/79521141123453" + serial + "?17=220630",
		"FD3795211411234538566CB0AFC5" + example + "00":            "/01/79521141123453" + serial,
		"FC342CDE795211411234538566CB0AFC5" + example + "0":        "/01/79521141123453" + serial + "?17=220630",
		"311BA1B300CE0A6A83000000":                                 "/00/095201234567891235",
		"F90095201234567891235":                                    "/00/095201234567891235",
		"EF009520123456789123592832F8C3B786CCB6C0":                 "/00/095201234567891235",
		"3276451FD46072000000162E":                                 "/414/9521141123454/254/5678",
		"3976451FD46072CD9615F8800000000000000000000000000000":     "/414/9521141123454/254/32a%2Fb",
		"F2395211411234548566CB0AFC4":                              "/414/9521141123454/254/32a%2Fb",
		"E9395211411234548566CB0AFC5" + example + "000":            "/414/9521141123454/254/32a%2Fb",
		"3376451FD40C0E400000162E":                                 "/8003/095211411234545678",
		"3776451FD40C0E59B2C2BF1000000000000000000000":             "/8003/0952114112345432a%2Fb",
		"F13095211411234548566CB0AFC4":                             "/8003/0952114112345432a%2Fb",
		"EB3095211411234548566CB0AFC5" + example + "00":            "/8003/0952114112345432a%2Fb",
		"3476451FD40000000000162E":                                 "/8004/95211415678",
		"3876451FD59B2C2BF10000000000000000000000000000000000":     "/8004/952114132a%2Fb",
		"FA3952114132E83C2BF10":                                    "/8004/952114132a%2Fb",
		"EE3952114132E83C2BF1494197C61DBC3665B600":                 "/8004/952114132a%2Fb",
		"2D76451FD4499602D2000000":                                 "/8018/952114112345678906",
		"F43952114112345678906":                                    "/8018/952114112345678906",
		"E7395211411234567890692832F8C3B786CCB6C0":                 "/8018/952114112345678906",
		"2E76451FD4499602D2000000":                                 "/8017/952114112345678906",
		"F53952114112345678906":                                    "/8017/952114112345678906",
		"E8395211411234567890692832F8C3B786CCB6C0":                 "/8017/952114112345678906",
		"2C76451FD46072000000162E":                                 "/253/95211411234545678",
		"3E76451FD7039B061438997367D0C18B266D1AB66EE0":             "/253/9521141987650ABCDefgh012345678",
		"F6395211411234540458B8":                                   "/253/95211411234545678",
		"EA395211411234540458BA4A0CBE30EDE1B32DB0":                 "/253/95211411234545678",
		"3C76451FD400C0E680003039":                                 "/8010/952114198765/8011/12345",
		"3D76451FD75411DEF6B4CC00000003039000":                     "/8010/95211415PQ7%2FZ43/8011/12345",
		"F0395211415E87A145BAFB4D19A8C0E4":                         "/8010/95211415PQ7%2FZ43/8011/12345",
		"E6395211415E87A145BAFB4D19A8C0E64A0CBE30EDE1B32DB000":     "/8010/95211415PQ7%2FZ43/8011/12345",
		"3F76451FD612640000019907":                                 "/255/952114167890904711",
		"F839521141678909509338":                                   "/255/952114167890904711",
		"EC3952114167890950933C94197C61DBC3665B60":                 "/255/952114167890904711",
		"4076451FD40C0E40820000000F54":                             "/8006/095211411234540102/21/981",
		"4176451FD40C0E4082DBDD8B36600000000000000000000000000000": "/8006/095211411234540102/21/mw133",
		"F3309521141123454010266AE27FDF35":                         "/8006/095211411234540102/21/rif981",
		"ED309521141123454010266AE27FDF3592832F8C3B786CCB6C00":     "/8006/095211411234540102/21/rif981",
	}
}

// TestEPCBinary reads every example of TDS that a Digital Link can say, in both forms.
func TestEPCBinary(t *testing.T) {
	t.Parallel()
	headers := map[string]bool{}
	for digits, want := range tdsVectors() {
		headers[digits[:2]] = true
		for _, segment := range []string{"eh" + strings.ToLower(digits), "ex" + base64Of(digits)} {
			l, err := Decompress("https://tag.example/" + segment + "?a=b")
			want, _, date := strings.Cut("https://tag.example"+want, "?")
			if date {
				want += "?17=220630&a=b"
			} else {
				want += "?a=b"
			}
			if err != nil || l.String() != want {
				t.Errorf("%s: %s, %v, want %s", segment, l.String(), err, want)
			}
		}
	}
	for header := range uint64(256) {
		_, partitioned := (&bitReader{bits: appendBits(nil, header, 8)}).readTag()
		known := partitioned == nil || !strings.Contains(partitioned.Error(), "stands for nothing")
		// GDTI-113 has no example: it is deprecated since TDS 1.9.
		if name := strings.ToUpper(hex.EncodeToString([]byte{byte(header)})); known != headers[name] && name != "3A" {
			t.Errorf("header %s: read %v, has an example %v", name, known, headers[name])
		}
	}
}

func base64Of(digits string) string {
	var b []byte
	for i := range len(digits) {
		b = appendBits(b, uint64(unhex(digits[i])), 4)
	}
	return segmentOf(b)
}

// tagOf makes a segment of rows of bits; spaces are for the reader.
func tagOf(rows ...string) string {
	var b []byte
	for _, c := range strings.ReplaceAll(strings.Join(rows, ""), " ", "") {
		b = append(b, byte(c-'0'))
	}
	return "ex" + segmentOf(b)
}

// TestTagData has a value of each kind of TDS's table F behind an SSCC.
func TestTagData(t *testing.T) {
	t.Parallel()
	const sscc = "11111001 1 000 000010010101001000000001001000110100010101100111100010010001001000110101"
	for want, bits := range map[string]string{
		"10=1234":                    "00010000 000 00100 00010011010010",      // digits
		"10=AF":                      "00010000 001 00010 1010 1111",           // hexadecimal
		"10=af":                      "00010000 010 00010 1010 1111",           // in lower case
		"10=Az":                      "00010000 011 00010 000000 110011",       // base 64
		"10=A%2F":                    "00010000 100 00010 1000001 0101111",     // ASCII
		"10=AB.":                     "00010000 101 00011 0000011010101101",    // Code 40: 1*1600+2*40+28+1
		"17=261231":                  "00010111 0011010 1100 11111",            // a date
		"20=07":                      "00100000 0000111",                       // digits without a length
		"3103=000189":                "00110001 00000011 00000000000010111101", // the same
		"30=42":                      "00110000 0010 0101010",                  // digits with one
		"7003=2612312359":            "01110000 00000011 0011010 1100 11111 10111 111011",
		"7007=261230261231":          "01110000 00000111 1 0011010 1100 11110 0011010 1100 11111",
		"8008=26123123":              "10000000 00001000 00 0011010 1100 11111 10111",
		"8008=261231235958":          "10000000 00001000 10 0011010 1100 11111 10111 111011 111010",
		"4307=CN":                    "01000011 00000111 000010 001101",
		"4321=1":                     "01000011 00100001 1",
		"4330=000007-":               "01000011 00110000 00000000000000000111 1",
		"4330=000007":                "01000011 00110000 00000000000000000111 0",
		"421=156AB1":                 "01000010 0001 0010011100 001 0011 1010 1011 0001",
		"423=156840":                 "01000010 0011 0110 00100110010010101000",
		"7023=95A":                   "01110000 00100011 1001 0101 1110 001 00001 1010",
		"7023=95":                    "01110000 00100011 1001 0101 1111",
		"410=9506000134376":          "01000001 0000 1001010100000110000000000000000100110100001101110110",
		"10=1&17=261231&3103=000189": "00010000 000 00001 0001 00010111 0011010 1100 11111 00110001 00000011 00000000000010111101",
	} {
		l, err := Decompress("https://tag.example/" + tagOf(sscc, bits, "0000000"))
		if want := "https://tag.example/00/095201234567891235?" + want; err != nil || l.String() != want {
			t.Errorf("%s, %v, want %s", l.String(), err, want)
		}
	}
	// Eight zeros are an SSCC when enough follows, and else fill up the last word.
	l, err := Decompress("https://tag.example/" + tagOf("11110111 1 011 01111001010100100001000101000001000100100011010001010011 000 00001 0001",
		"00000000 000010010101001000000001001000110100010101100111100010010001001000110101", "00000000 0000"))
	if want := "https://tag.example/01/79521141123453/21/1?00=095201234567891235"; err != nil || l.String() != want {
		t.Errorf("%s, %v, want %s", l.String(), err, want)
	}
}

func TestEPCBinaryRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, segment, code, field, reason string }{
		{"nothing", "eh", "gs1.bad_compressed", "path", "has the code 7A, which stands for nothing"},
		{"no such header", "eh00", "gs1.bad_compressed", "path", "has the header 00, which stands for nothing that a Digital Link can say"},
		{"of no key of GS1", "eh3500E86F8000A9E000000586", "gs1.bad_compressed", "path", "has the header 35, which stands for nothing that a Digital Link can say"},
		{"cut short", "eh3066C4409047E140075BCD", "gs1.bad_compressed", "path", "ends within a value"},
		{"cut short, new", "ehF73795211411234538566C", "gs1.bad_compressed", "path", "ends within a value"},
		{"more behind", "eh3066C4409047E140075BCD1501", "gs1.bad_compressed", "path", "has more behind its end"},
		{"more behind what says that nothing follows", "ehF9009520123456789123510", "gs1.bad_compressed", "path", "has more behind its end"},
		{"partition", "eh307EC4409047E140075BCD15", "gs1.bad_compressed", "path", "has a company prefix of no known length"},
		{"prefix", "eh3067FFFFFFFFE140075BCD15", "gs1.bad_compressed", "path", "has a company prefix that is too large"},
		{"reserved zeros", "eh311BA1B300CE0A6A83000001", "gs1.bad_compressed", "path", "has more behind its end"},
		{"hole in a text", "eh3666C4409047E159B2C2BF100000000000000000000000010000", "gs1.bad_compressed", "path", "has a text with a hole"},
		{"check digit", "ehF73795211411234548566CB0AFC4", "gs1.bad_elements", "(01)", "check digit is 4, should be 3"},
		{"no digit", "ehF7379521141123A538566CB0AFC4", "gs1.bad_elements", "(01)", "character 12 is not an ASCII digit (0-9)"},
		{"date", "ehFB3F2CDE795211411234538566CB0AFC4", "gs1.bad_compressed", "path", "has a date of no known kind"},
		{"thirteenth month", "ehFB342DBE795211411234538566CB0AFC4", "gs1.bad_elements", "(17)", "is not a date YYMMDD"},
	} {
		_, err := Decompress("https://a.example/" + c.segment)
		wantFault(t, c.name, err, c.code, c.field, c.reason)
	}
}

func BenchmarkEPCBinary(b *testing.B) {
	for _, digits := range []string{"3066C4409047E14000001A85", "3666C4409047E159B2C2BF100000000000000000000000000000", "F73795211411234538566CB0AFC4"} {
		b.Run(digits, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Decompress("https://tag.example/eh" + digits); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
