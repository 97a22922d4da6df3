package site

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// What goes over the wire beside the body: status line, headers, the policy.
const headerBytes = 640

func newSite(t testing.TB) *Site {
	t.Helper()
	s, err := New()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func render(t testing.TB, s *Site, p Page) string {
	t.Helper()
	var b strings.Builder
	if err := s.Render(&b, p); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func compress(t testing.TB, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := z.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// pages are every verdict in every language, as usual and at its worst.
func pages() map[string]Page {
	all := make(map[string]Page)
	for _, lang := range []string{"zh", "en"} {
		for _, v := range append(verdicts(), many) {
			all[v+" "+lang] = sample(lang, v)
			all[v+" "+lang+" worst"] = worst(lang, v)
		}
	}
	return all
}

func TestSizes(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for name, p := range pages() {
		page := render(t, s, p)
		packed := compress(t, page)
		if n := len(packed) + headerBytes; n > 6<<10 {
			t.Errorf("%s: %d bytes with headers", name, n)
		}
		end := strings.Index(page, `<style>header a`) // right after the verdict, its meaning and what to do
		if end < 0 || end > 2<<10 {
			t.Errorf("%s: the verdict ends at byte %d", name, end)
		}
		z, err := gzip.NewReader(bytes.NewReader(packed[:min(len(packed), 2<<10-headerBytes)]))
		if err != nil {
			t.Fatal(err)
		}
		early, _ := io.ReadAll(z) // ends in the middle: that is the point
		if !bytes.Contains(early, []byte("</h1>")) {
			t.Errorf("%s: the verdict is not in the first 2 KB on the wire", name)
		}
	}
}

func TestRefusalTellsNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, lang := range []string{"zh", "en"} {
		want := render(t, s, Page{Lang: lang, Verdict: unknown})
		full := worst(lang, unknown)
		full.TokenPath = "/1/2"
		for _, p := range []Page{sample(lang, unknown), full, {Lang: lang, Verdict: unknown, Code: "000000000000000001", Zone: shanghai()}} {
			if got := render(t, s, p); got != want {
				t.Errorf("%s: the refusal differs: %q", lang, got)
			}
		}
	}
	if render(t, s, Page{Lang: "zh", Verdict: unknown}) != render(t, s, Page{Lang: "<x>", Verdict: unknown}) {
		t.Error("a strange language is not Chinese")
	}
}

// everyPage renders everything there is.
func everyPage(t *testing.T, s *Site) map[string]string {
	t.Helper()
	all := make(map[string]string)
	add := func(name string, draw func(io.Writer) error) {
		var b strings.Builder
		if err := draw(&b); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		all[name] = b.String()
	}
	for name, p := range pages() {
		add(name, func(w io.Writer) error { return s.Render(w, p) })
	}
	for _, lang := range []string{"zh", "en"} {
		for _, status := range []int{400, 404, 429, 500, 503, 418} {
			add(fmt.Sprintf("notice %d %s", status, lang), func(w io.Writer) error {
				return s.RenderNotice(w, Notice{Lang: lang, Status: status, Detail: "17 digits", Reference: "R1"})
			})
		}
		for _, state := range []string{SignInOffer, SignInShown, SignInSpent} {
			add("desk "+state+" "+lang, func(w io.Writer) error {
				return s.RenderSignIn(w, SignIn{Lang: lang, State: state, Key: "k", BaseURL: "http://localhost:8080", Next: "chopmark"})
			})
		}
		add("desk demo "+lang, func(w io.Writer) error { return s.RenderDemo(w, demo(lang)) })
	}
	for _, lang := range []string{"zh", "en"} {
		add("story "+lang, func(w io.Writer) error { return s.RenderStory(w, sampleStory(lang)) })
	}
	return all
}

func demo(lang string) DemoPage {
	p := DemoPage{Lang: lang}
	for i, v := range verdicts() {
		p.Cards = append(p.Cards, DemoCard{Verdict: v, URL: fmt.Sprintf("http://192.168.1.20:8080/%018d", i)})
	}
	return p
}

func TestNothingIsFetched(t *testing.T) {
	t.Parallel()
	fetches := regexp.MustCompile(`(?i)\ssrc=|srcset=|url\(|@import|<(img|iframe|object|embed|video|audio|base)\b|<link rel="([^i]|i[^c])|fetch\(|XMLHttp|action=`)
	logo := regexp.MustCompile(`<img class="logo" src="/api/v1/images/img_[0-9a-f]{32}\.(jpg|png|webp)" alt="" height="40" decoding="async">`)
	for name, page := range everyPage(t, newSite(t)) {
		if found := fetches.FindString(logo.ReplaceAllString(page, "")); found != "" {
			t.Errorf("%s has %q", name, found)
		}
		if !strings.Contains(page, `<link rel="icon" href="data:,">`) {
			t.Errorf("%s lets the browser ask for an icon", name)
		}
		// Links lead away only to the brand's help, and to the demo's own codes.
		if strings.HasPrefix(name, "desk") {
			continue
		}
		for _, m := range regexp.MustCompile(`(https?:)?//[a-z]`).FindAllStringIndex(page, -1) {
			around := page[max(0, m[0]-60):min(len(page), m[1]+40)]
			if !strings.Contains(around, "help.example.com") && !strings.Contains(around, "&amp;") {
				t.Errorf("%s names another host: %s", name, around)
			}
		}
	}
}

func TestPolicyAllowsWhatIsThere(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	inline := regexp.MustCompile(`(?s)<(style|script)[^>]*>(.*?)</(style|script)>`)
	used := make(map[string]bool)
	for name, page := range everyPage(t, s) {
		policy := s.CSP()
		if strings.HasPrefix(name, "desk") {
			policy = s.DeskCSP()
		}
		for _, m := range inline.FindAllStringSubmatch(page, -1) {
			_, sources, _ := strings.Cut(policy, m[1]+"-src")
			sources, _, _ = strings.Cut(sources, ";")
			used[hash(m[2])] = true
			if !strings.Contains(sources, hash(m[2])) {
				t.Errorf("%s: the policy forbids %s %.60q", name, m[1], m[2])
			}
		}
		if bad := regexp.MustCompile(`(?i)<[^>]*\s(style|on[a-z]+)=`).FindString(page); bad != "" {
			t.Errorf("%s: the policy forbids the attribute in %s", name, bad)
		}
	}
	for _, want := range regexp.MustCompile(`'sha256-[^']*'`).FindAllString(s.CSP()+s.DeskCSP(), -1) {
		if !used[want] {
			t.Errorf("the policy allows %s, which no page has", want)
		}
	}
	for _, want := range []string{"default-src 'none'", "img-src data:", "form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'"} {
		if !strings.Contains(s.CSP(), want) || !strings.Contains(s.DeskCSP(), want) {
			t.Errorf("the policy lacks %s", want)
		}
	}
}

func TestVerdictWords(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	want := map[string][2]string{
		"authentic": {"正品", "Genuine"}, "authentic_again": {"曾被查询", "checked before"}, "sold": {"已售出", "Already sold"},
		"inactive": {"尚未启用", "Not released yet"}, "suspicious": {"状态异常", "Something is wrong"},
		"consumed": {"已兑换", "Already redeemed"}, "recalled": {"已召回", "Recalled"}, "void": {"已作废", "Void"},
		"expired": {"已过期", "Expired"}, "superseded": {"链接已失效", "out of date"}, unknown: {"查无此码", "No such code"},
		"unconfirmed": {"暂时无法确认", "Cannot confirm"},
	}
	tones := map[string]string{
		"authentic": "good", "authentic_again": "good", "sold": "warn", "inactive": "warn", "recalled": "bad",
		"void": "bad", "suspicious": "bad", unknown: "bad", "unconfirmed": "wait",
	}
	for _, v := range verdicts() {
		for i, lang := range []string{"zh", "en"} {
			page := render(t, s, sample(lang, v))
			heading := regexp.MustCompile(`<h1>(.*?)</h1>`).FindStringSubmatch(page)
			title := regexp.MustCompile(`<title>(.*?)</title>`).FindStringSubmatch(page)
			if heading == nil || title == nil || !strings.Contains(heading[1], want[v][i]) || !strings.HasPrefix(title[1], heading[1]) {
				t.Errorf("%s %s: heading %q, title %q", v, lang, heading, title)
			}
			if tone := tones[v]; tone != "" && !strings.Contains(page, `<body class="`+tone+`">`) {
				t.Errorf("%s %s is not %s", v, lang, tone)
			}
			if genuine := strings.Contains(page, "正品") || strings.Contains(page, "Genuine"); genuine != strings.HasPrefix(v, "authentic") {
				t.Errorf("%s %s: says genuine: %v", v, lang, genuine)
			}
			if !strings.Contains(page, `<html lang="`+[]string{"zh-CN", "en"}[i]+`">`) || !strings.Contains(page, `href="?lang=`+[]string{"en", "zh"}[i]+`"`) {
				t.Errorf("%s %s: no language or no switch", v, lang)
			}
		}
	}
	if err := s.Render(io.Discard, Page{Verdict: "fine"}); err == nil {
		t.Error("an unknown verdict is rendered")
	}
}

// TestUnconfirmedSaysSinceWhen: as far as that is known.
func TestUnconfirmedSaysSinceWhen(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for lang, since := range map[string][2]string{"zh": {"此商品 2026年4月3日", "以后的最新状态"}, "en": {"moment, only that of 3", "Apr"}} {
		p := sample(lang, "unconfirmed")
		page := render(t, s, p)
		if !strings.Contains(page, since[0]) || !strings.Contains(page, since[1]) {
			t.Errorf("%s: not since when: %s", lang, page)
		}
		p.Since = time.Time{}
		if page = render(t, s, p); strings.Contains(page, "以后") || strings.Contains(page, "only that of") {
			t.Errorf("%s: since when nothing is known", lang)
		}
	}
}

func TestEscaping(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	const evil = `<script>alert(1)</script>"'><b x="`
	p := sample("en", "recalled")
	p.Code, p.Reason, p.TokenPath = evil, evil, evil
	p.Product = Product{Name: evil, Brand: evil, BatchNo: evil, ProductionDate: evil, Help: evil}
	p.FirstScan.Place, p.Sold = evil, &Event{Place: evil}
	p.Story = evil
	p.Zone = time.FixedZone(evil, 0)
	var notice, sheet, key strings.Builder
	if err := s.RenderNotice(&notice, Notice{Status: 400, Detail: evil, Reference: evil}); err != nil {
		t.Fatal(err)
	}
	if err := s.RenderDemo(&sheet, DemoPage{Cards: []DemoCard{{Verdict: "sold", URL: "javascript:alert(1)//" + evil, Title: evil, Text: evil}}}); err != nil {
		t.Fatal(err)
	}
	if err := s.RenderSignIn(&key, SignIn{State: SignInShown, Key: evil, BaseURL: evil}); err != nil {
		t.Fatal(err)
	}
	for name, page := range map[string]string{"page": render(t, s, p), "notice": notice.String(), "demo": sheet.String(), "sign-in": key.String()} {
		if strings.Contains(page, "<script>alert") || strings.Contains(page, `<b x`) || strings.Contains(page, `href="javascript:`) {
			t.Errorf("%s is not escaped: %s", name, page)
		}
		if !strings.Contains(page, "&lt;script&gt;alert(1)") {
			t.Errorf("%s does not show the text", name)
		}
	}
}

// Nothing says "first" when the count is not known, as in an answer to early data.
func TestFirstIsNotClaimed(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, tt := range []struct {
		lang  string
		count int64
		first bool
	}{{"zh", 1, true}, {"zh", 0, false}, {"zh", 2, false}, {"en", 1, true}, {"en", 0, false}, {"en", 2, false}} {
		p := sample(tt.lang, "authentic")
		p.ScanCount, p.Inner = tt.count, nil
		page := render(t, s, p)
		claims := strings.Contains(page, "第一位查询者") || strings.Contains(page, "first to check") ||
			strings.Contains(page, "First scan") || strings.Contains(page, "第 1 次")
		if claims != tt.first {
			t.Errorf("%s, %d scans: claims first: %v", tt.lang, tt.count, claims)
		}
	}
}

func TestScansAndPlaces(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := sample("zh", "authentic_again")
	contains(t, render(t, s, p), "第 3 次查询", "首次查询于 2026年3月20日\u00a009:26，浙江杭州", "Asia/Shanghai", "123456 789012 345678", `href="tel:4008001234"`)
	p.FirstScan.Place = ""
	contains(t, render(t, s, p), "地点未知")
	if p.FirstScan.At = (time.Time{}); strings.Contains(render(t, s, p), "首次查询于") {
		t.Error("a first scan without its time is shown")
	}
	p.FirstScan.At = sample("zh", "sold").FirstScan.At
	p.Lang, p.Zone = "en", nil
	contains(t, render(t, s, p), "Scanned 3 times", "First on 20\u00a0Mar\u00a02026,\u00a001:26, place unknown", "Times are in UTC")
	p.ScanCount, p.Sessions = manyScans, manyScans-1 // one buyer, who shows it around
	contains(t, render(t, s, p), `class="good"`)
	p.Sessions = manyScans
	contains(t, render(t, s, p), `class="warn"`, "checked 10 times")

	p = sample("en", "sold")
	contains(t, render(t, s, p), "sold on 28\u00a0Mar\u00a02026,\u00a015:26 at Wulin Gate shop, Hangzhou.", "all is well")
	p.Sold = nil
	contains(t, render(t, s, p), "This item was sold.")
	p = sample("zh", "recalled")
	contains(t, render(t, s, p), "自 2026年4月1日\u00a008:26 起", "农药残留抽检超标。")
}

func contains(t *testing.T, page string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(page, want) {
			t.Errorf("%q is missing in %s", want, page)
		}
	}
}

func TestInnerStates(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	const form, again = `<form><label for="inner">`, "First checked on"
	for _, tt := range []struct {
		inner    *Inner
		has, not []string
	}{
		{nil, nil, []string{form, "scratch"}},
		{&Inner{}, []string{form, `name="inner"`, `name="lang" value="en"`}, []string{"✓", "✗"}},
		{&Inner{Asked: true, OK: true}, []string{"✓ Correct. It has not", "<script"}, []string{form, again}},
		{&Inner{Asked: true, OK: true, FirstAt: time.Unix(1.7e9, 0)}, []string{again, "If that was not you"}, []string{form}},
		{&Inner{Asked: true, TriesLeft: 2}, []string{form, "✗ Not correct", "tries left: 2"}, []string{"✓"}},
		{&Inner{Asked: true}, []string{"✗ Too many wrong tries"}, []string{form, "✓"}},
	} {
		p := sample("en", "authentic_again")
		p.Inner = tt.inner
		page := render(t, s, p)
		contains(t, page, tt.has...)
		for _, not := range tt.not {
			if strings.Contains(page, not) {
				t.Errorf("%+v shows %q", tt.inner, not)
			}
		}
	}
}

func TestStory(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	draw := func(p Story) string {
		var b strings.Builder
		if err := s.RenderStory(&b, p); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	for _, lang := range []string{"zh", "en"} {
		for name, p := range map[string]Story{"sample": sampleStory(lang), "worst": worstStory(lang), "empty": {Lang: lang}} {
			if n := len(compress(t, draw(p))) + headerBytes; n > 6<<10 {
				t.Errorf("%s %s: %d bytes with headers", lang, name, n)
			}
		}
	}
	contains(t, draw(sampleStory("zh")), "流通记录", "物流 · 发货", "途中温度", "3 °C – 7 °C", "数据加载中", "质检员 王**", `subject=ni%3A%2F%2F%2Fsha-256%3Bab&amp;lang=zh"`, "M0 ")
	contains(t, draw(sampleStory("en")), "Logistics · shipped", "Loading", "Temperature 2-8°C", "Carrier 顺丰")
	p := sampleStory("en")
	p.Courses = [][]Temperature{p.Courses[0][:1]}
	if strings.Contains(draw(p), "<svg") {
		t.Error("one reading makes no course")
	}
	evil := `"><script>x</script>{{`
	p.Steps = []StoryStep{{Stage: evil, What: evil, Location: evil, Facts: []Fact{{evil, evil}}, Proof: "javascript:x", Time: p.Steps[0].Time}}
	if page := draw(p); strings.Contains(page, "<script>x") || strings.Contains(page, `"javascript:`) {
		t.Errorf("not escaped: %s", page)
	}
	p.Steps = slices.Repeat(p.Steps, 20)
	contains(t, draw(p), "4 steps are not shown")
}

func TestHelpLinks(t *testing.T) {
	t.Parallel()
	l := newSite(t).language("en")
	for text, want := range map[string]string{
		"https://brand.example/help?a=1&b=2": "https://brand.example/help?a=1&b=2", "http://brand.example": "http://brand.example",
		"400-800-1234": "tel:4008001234", "+86 (571) 8800 1234": "tel:+8657188001234", "12315": "tel:12315",
		"care@brand.example": "mailto:care@brand.example",
		"":                   "", "javascript:alert(1)": "", "1234": "", "1+1+1+1+1": "", "Ask at the counter": "", "a@b?cc=x": "",
		"data:text/html,x": "", "https://" + strings.Repeat("x", linkMax): "",
	} {
		shown, link := l.help(text)
		if string(link) != want || shown == "" {
			t.Errorf("%q links to %q, want %q; shown as %q", text, link, want, shown)
		}
	}
}

func TestClip(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		text string
		most int
		want string
	}{{"", 3, ""}, {"abc", 3, "abc"}, {"abcd", 3, "ab…"}, {"茶茶茶", 3, "茶茶茶"}, {"茶茶茶茶", 3, "茶茶…"}, {"\xff\xfe\xfd\xfc", 3, "\xff\xfe…"}} {
		if got := clip(tt.text, tt.most); got != tt.want {
			t.Errorf("clip(%q, %d) = %q, want %q", tt.text, tt.most, got, tt.want)
		}
	}
}

func TestWordsAreComplete(t *testing.T) {
	t.Parallel()
	zh, en := chinese(), english()
	for _, w := range []words{zh, en} {
		v := reflect.ValueOf(w)
		for i := range v.NumField() {
			if v.Field(i).IsZero() {
				t.Errorf("%s has no %s", w.Lang, v.Type().Field(i).Name)
			}
		}
		for _, name := range append(verdicts(), many) {
			p := w.Verdicts[name]
			if p.Tone == "" || p.Title == "" || p.Means == "" || p.Do == "" || p.Shows == "" {
				t.Errorf("%s has not all words for %s", w.Lang, name)
			}
			if p.Tone != zh.Verdicts[name].Tone {
				t.Errorf("%s has two colours", name)
			}
		}
		if len(w.Verdicts) != len(verdicts())+1 || len(w.Notices) != len(zh.Notices) || len(w.Stages) != len(zh.Stages) {
			t.Errorf("%s has other verdicts, notices or stages", w.Lang)
		}
	}
}

// Every pair of text and ground in both schemes meets WCAG AA: 4.5 to 1.
func TestContrast(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"head.css", "desk.css"} {
		css, err := files.ReadFile("html/" + name)
		if err != nil {
			t.Fatal(err)
		}
		roots := regexp.MustCompile(`:root\{(.*?)\}`).FindAllStringSubmatch(string(css), -1)
		colours := make(map[string]string)
		for scheme, root := range roots[:2] { // light, then dark over it
			for _, m := range regexp.MustCompile(`--(\w+):(#\w+)`).FindAllStringSubmatch(root[1], -1) {
				colours[m[1]] = m[2]
			}
			for _, pair := range [][2]string{{"ink", "bg"}, {"ink", "card"}, {"dim", "bg"}, {"dim", "card"}, {"ok", "card"}, {"no", "card"}} {
				text, ok := colours[pair[0]]
				if !ok { // the desk pages have no ok and no
					continue
				}
				if r := contrast(text, colours[pair[1]]); r < 4.5 {
					t.Errorf("%s, scheme %d: %s on %s is %.2f", name, scheme, pair[0], pair[1], r)
				}
			}
		}
		tones := regexp.MustCompile(`--c:(#\w+)`).FindAllStringSubmatch(string(css), -1)
		if len(tones) != 4 {
			t.Errorf("%s has %d tones", name, len(tones))
		}
		for _, m := range tones {
			if r := contrast("#fff", m[1]); r < 4.5 {
				t.Errorf("%s: white on %s is %.2f", name, m[1], r)
			}
		}
	}
}

func contrast(a, b string) float64 {
	x, y := luminance(a), luminance(b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

func luminance(colour string) float64 {
	if len(colour) == 4 {
		colour = "#" + strings.Repeat(colour[1:2], 2) + strings.Repeat(colour[2:3], 2) + strings.Repeat(colour[3:], 2)
	}
	sum := 0.0
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		n, err := strconv.ParseUint(colour[1+2*i:3+2*i], 16, 8)
		if err != nil {
			return math.NaN()
		}
		c := float64(n) / 255
		if c <= 0.04045 {
			sum += weight * c / 12.92
		} else {
			sum += weight * math.Pow((c+0.055)/1.055, 2.4)
		}
	}
	return sum
}

// countedWrites is a writer that counts its calls.
type countedWrites struct{ calls, bytes int }

func (c *countedWrites) Write(p []byte) (int, error) {
	c.calls, c.bytes = c.calls+1, c.bytes+len(p)
	return len(p), nil
}

func TestOneWrite(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, v := range verdicts() {
		var w countedWrites
		if err := s.Render(&w, sample("zh", v)); err != nil || w.calls != 1 {
			t.Errorf("%s: %d writes, %v", v, w.calls, err)
		}
	}
}

func TestConcurrentRender(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	want := render(t, s, sample("zh", "sold"))
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			for range 20 {
				if got := render(t, s, sample("zh", "sold")); got != want {
					t.Error("two renderings mixed")
				}
				render(t, s, sample("en", "recalled"))
			}
		})
	}
	wait.Wait()
}

func BenchmarkRender(b *testing.B) {
	s := newSite(b)
	for _, v := range []string{"authentic", "sold", unknown} {
		b.Run(v, func(b *testing.B) {
			p := sample("zh", v)
			b.ReportAllocs()
			for b.Loop() {
				if err := s.Render(io.Discard, p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		newSite(b)
	}
}

// TestChallenge: a notice with a challenge holds it and the one script that its policy
// allows, and waits where there is no script.
func TestChallenge(t *testing.T) {
	t.Parallel()
	s, err := New()
	if err != nil {
		t.Fatal(err)
	}
	for _, lang := range []string{"zh", "en"} {
		var page bytes.Buffer
		if err := s.RenderNotice(&page, Notice{Lang: lang, Status: 429, Again: 120, Challenge: "1.15.abc.mac-_"}); err != nil {
			t.Fatal(err)
		}
		_, script, ok := strings.Cut(page.String(), `<script data-c="1.15.abc.mac-_">`)
		script, _, closed := strings.Cut(script, "</script>")
		if !ok || !closed || !strings.Contains(s.ProofCSP(), hash(script)) || strings.Contains(s.CSP(), hash(script)) {
			t.Errorf("the script is not what its policy allows:\n%s\n%s", s.ProofCSP(), page.String())
		}
		if !strings.Contains(page.String(), `<meta http-equiv="refresh" content="120">`) {
			t.Error("without a script nobody is let in again")
		}
	}
}
