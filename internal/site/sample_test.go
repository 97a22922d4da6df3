package site

import (
	"slices"
	"time"
)

// verdicts are all that a scan can answer, in the order of the demo sheet.
func verdicts() []string {
	return []string{
		"authentic", "authentic_again", "sold", "inactive", "suspicious", "consumed", "recalled",
		"void", "expired", "superseded", "unknown", "unconfirmed",
	}
}

func shanghai() *time.Location { return time.FixedZone("Asia/Shanghai", 8*3600) }

// sample is a page as a real scan would give it.
func sample(lang, verdict string) Page {
	at := func(month time.Month, day, hour int) time.Time {
		return time.Date(2026, month, day, hour, 26, 0, 0, time.UTC)
	}
	p := Page{Lang: lang, Verdict: verdict, Zone: shanghai()}
	if verdict == "superseded" || verdict == unknown {
		p.Since = at(4, 2, 1)
		return p
	}
	p.Code = "123456789012345678"
	p.ScanCount = 3
	p.ExpiresAt = at(9, 30, 0)
	p.FirstScan = Event{At: at(3, 20, 1), Place: map[string]string{"zh": "浙江杭州", "en": "Hangzhou, Zhejiang"}[lang]}
	p.Product = Product{Name: "西湖龙井 明前特级 250g 礼盒", Brand: "狮峰茶庄", BatchNo: "LJ-20260318", ProductionDate: "2026-03-18", Help: "400-800-1234"}
	p.Story = "/api/v1/trace/123456789012345678"
	if lang == "en" {
		p.Product = Product{Name: "Longjing Green Tea, First Flush, 250 g gift tin", Brand: "Lion Peak Tea House", BatchNo: "LJ-20260318", ProductionDate: "2026-03-18", Help: "https://help.example.com/tea"}
	}
	switch verdict {
	case "authentic":
		p.ScanCount, p.FirstScan.At = 1, at(4, 2, 1)
		p.TokenPath = "/123456789012345678/0002Q9ZK4M7X1VBNC8"
		p.Inner = &Inner{}
	case "sold":
		p.Sold = &Event{At: at(3, 28, 7), Place: map[string]string{"zh": "杭州 武林门店", "en": "Wulin Gate shop, Hangzhou"}[lang]}
	case "unconfirmed":
		p.Since = at(4, 3, 2)
	case "recalled":
		p.Since, p.Reason = at(4, 1, 0), map[string]string{"zh": "农药残留抽检超标。", "en": "Pesticide residue above the limit in a spot check."}[lang]
	}
	return p
}

// worst is a page with every field as long as it may be, of characters that hardly compress.
func worst(lang, verdict string) Page {
	next := uint32(1)
	text := func(n int) string {
		runes := make([]rune, n)
		for i := range runes {
			next = next*1664525 + 1013904223
			runes[i] = rune(0x4e00 + next>>8%20000)
		}
		return string(runes)
	}
	p := sample(lang, "authentic")
	p.Verdict, p.ScanCount = verdict, 1<<40
	p.Product = Product{Name: text(500), Brand: text(500), BatchNo: text(500), ProductionDate: text(500), Help: "https://" + text(500)}
	p.Reason, p.FirstScan.Place = text(500), text(500)
	p.Sold = &Event{At: p.FirstScan.At, Place: text(500)}
	p.Since = p.FirstScan.At
	p.Inner = &Inner{Asked: true, TriesLeft: 4}
	p.Logo = "/api/v1/images/img_9f86d081884c7d659a2feaa0c55ad015.webp"
	return p
}

// sampleStory is a story as a real item would give it.
func sampleStory(lang string) Story {
	at := func(day, hour int) time.Time { return time.Date(2026, 3, day, hour, 26, 0, 0, time.UTC) }
	s := Story{
		Lang: lang, Code: "123456789012345678", Product: "西湖龙井 明前特级 250g 礼盒", Brand: "狮峰茶庄", BatchNo: "LJ-20260318", Zone: shanghai(),
		Steps: []StoryStep{
			{Stage: "production", What: "encoded", Time: at(18, 2), Location: "杭州 龙坞茶厂", Facts: []Fact{{"inspector", "王**"}}},
			{Stage: "logistics", What: "shipping", Time: at(19, 8), Location: "杭州转运中心", Facts: []Fact{{"temperature", "2-8°C"}, {"carrier", "顺丰"}},
				Proof: "/log/verify?kind=epcis.event&subject=ni%3A%2F%2F%2Fsha-256%3Bab"},
			{Stage: "sales", Loading: true},
		},
	}
	s.Courses = [][]Temperature{nil, nil}
	for i := range 24 {
		s.Courses[i/12] = append(s.Courses[i/12], Temperature{at(19, 8).Add(time.Duration(i) * time.Hour), 3 + float64(i%5)/2, 4 + float64(i%7)/2})
	}
	return s
}

// worstStory has everything as long as it may be.
func worstStory(lang string) Story {
	w := worst(lang, "authentic")
	text := w.Reason
	s := Story{Lang: lang, Code: "123456789012345678", Product: text, Brand: text, BatchNo: text, Zone: shanghai()}
	runes := []rune(text)
	for i := range 500 {
		at := w.FirstScan.At.Add(time.Duration(i) * time.Minute)
		turn := string(append(append([]rune{}, runes[i%400:]...), runes[:i%400]...))
		s.Steps = append(s.Steps, StoryStep{Stage: turn, What: turn, Time: at, Location: turn, Proof: "/log/verify?kind=epcis.event&subject=ni%3A%2F%2F%2Fsha-256%3B" + hash(turn),
			Facts: []Fact{{turn, turn}, {"carrier", turn}, {"reason", turn}, {"seller", turn}}})
		s.Courses = append(s.Courses[:0], append(slices.Concat(s.Courses...), Temperature{at, float64(i * 7919 % 100), float64(i*7919%100 + 5)}))
	}
	return s
}
