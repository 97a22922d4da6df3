package site

import (
	"io"
	"strings"
	"testing"

	"github.com/chopmark/chopmark/internal/platform/fault"
)

func TestNotices(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, tt := range []struct {
		notice Notice
		wants  []string
	}{
		{Notice{Lang: "zh", Status: 400, Detail: "17 位"}, []string{"链接不完整", "17 位", `class="warn"`}},
		{Notice{Lang: "en", Status: 400}, []string{"not complete", "18 digits"}},
		{Notice{Lang: "zh", Status: 500, Reference: "R-7"}, []string{"暂时无法确认", "反馈编号 R-7"}},
		{Notice{Lang: "en", Status: 503}, []string{"Cannot confirm right now", `class="wait"`}},
		{Notice{Lang: "en", Status: 418}, []string{"Cannot confirm right now"}},
		{Notice{Lang: "en", Status: 429}, []string{"Too many checks"}},
	} {
		var b strings.Builder
		if err := s.RenderNotice(&b, tt.notice); err != nil {
			t.Fatal(err)
		}
		contains(t, b.String(), tt.wants...)
		if n := len(compress(t, b.String())); n > 2<<10 {
			t.Errorf("notice %d is %d bytes", tt.notice.Status, n)
		}
	}
}

func TestDemo(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for lang, title := range map[string]string{"zh": "演示二维码", "en": "Demo codes"} {
		var b strings.Builder
		p := demo(lang)
		p.Cards[0].Title, p.Cards[0].Text = "Mine", "My words"
		if err := s.RenderDemo(&b, p); err != nil {
			t.Fatal(err)
		}
		page := b.String()
		contains(t, page, title, "Mine", "My words", s.language(lang).Verdicts["recalled"].Title, p.Cards[3].URL, "@media print")
		if n := strings.Count(page, "crispEdges"); n != len(p.Cards) {
			t.Errorf("%d codes for %d cards", n, len(p.Cards))
		}
	}
	if err := s.RenderDemo(io.Discard, DemoPage{Cards: []DemoCard{{Verdict: "fine", URL: "x"}}}); err == nil {
		t.Error("an unknown verdict is shown")
	}
	err := s.RenderDemo(io.Discard, DemoPage{Cards: []DemoCard{{Verdict: "sold"}}})
	if f, ok := fault.From(err); !ok || f.Code != "mark.bad_text" {
		t.Errorf("a card without a link: %v", err)
	}
}

func TestSignIn(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	const key = "cmk_7H2K9QWXV4M8ZP3RT6NB1CDFGJ5SA0EY"
	for _, tt := range []struct {
		state    string
		has, not []string
	}{
		{SignInOffer, []string{`<form method="post"><button>Show my admin key`}, []string{key, "<script"}},
		{SignInShown, []string{`id="key">` + key + "<", "Bearer " + key, "http://h:1/api/v1/batches", "no-referrer"}, []string{"<form"}},
		{SignInSpent, []string{"used or has expired", "<pre tabindex=\"0\">run this</pre>"}, []string{key, "<form", "<script"}},
	} {
		var b strings.Builder
		if err := s.RenderSignIn(&b, SignIn{Lang: "en", State: tt.state, Key: key, BaseURL: "http://h:1", Next: "run this"}); err != nil {
			t.Fatal(err)
		}
		contains(t, b.String(), tt.has...)
		for _, not := range tt.not {
			if strings.Contains(b.String(), not) {
				t.Errorf("state %s shows %q", tt.state, not)
			}
		}
	}
	if err := s.RenderSignIn(io.Discard, SignIn{State: "done"}); err == nil {
		t.Error("an unknown state is rendered")
	}
}
