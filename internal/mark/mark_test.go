package mark

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
	"rsc.io/qr/coding"

	"github.com/chopmark/chopmark/internal/platform/fault"
)

const (
	printURL   = "https://q.example.com/123456789012345678"
	displayURL = "HTTPS://Q.EXAMPLE.COM/123456789012345678/0002Q9ZK4M7X1VBNC8"
)

func TestEncodeDecode(t *testing.T) {
	t.Parallel()
	tests := []struct {
		text    string
		version int
		modes   []int
	}{
		{"1", 1, []int{numeric}},
		{"123456789012345678", 1, []int{numeric}},
		{"HELLO WORLD", 1, []int{alphanumeric}},
		{"茶", 1, []int{utf8Set, byteMode}},
		{"\xff\xfe", 1, []int{byteMode}},
		{"HTTPS://Q.EXAMPLE.COM/123456789012345678", 2, []int{alphanumeric, numeric}},
		{printURL, 3, []int{byteMode, numeric}},
		{displayURL, 3, []int{alphanumeric, numeric, alphanumeric}},
		{"https://q.example.com/01/09506000134352/21/123456789012345678", 4, []int{byteMode, numeric, alphanumeric, numeric}},
		{strings.Repeat("9", 293), 7, []int{numeric}},
		{strings.Repeat("a", 152), 8, []int{byteMode}},
		{strings.Repeat("a", 213), 10, []int{byteMode}},
	}
	encoder := NewEncoder()
	for _, tt := range tests {
		s, err := encoder.Encode(tt.text)
		if err != nil {
			t.Fatalf("encode %q: %v", tt.text, err)
		}
		text, modes, err := decode(s)
		if err != nil || text != tt.text {
			t.Errorf("%q reads back as %q, %v", tt.text, text, err)
		}
		if s.Version() != tt.version {
			t.Errorf("%q has version %d, want %d", tt.text, s.Version(), tt.version)
		}
		if diff := cmp.Diff(tt.modes, modes); diff != "" {
			t.Errorf("%q is cut otherwise (-want +got):\n%s", tt.text, diff)
		}
	}
}

// One flipped module must not go unseen, or TestEncodeDecode proves nothing.
func TestDecodeSeesOneWrongModule(t *testing.T) {
	t.Parallel()
	s, err := New(printURL)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range [][2]int{{8, 0}, {12, 12}, {9, s.size - 1}, {s.size - 1, s.size - 1}} {
		i := at[1]*s.size + at[0]
		s.dark[i] = !s.dark[i]
		if text, _, err := decode(s); err == nil {
			t.Errorf("module %v flipped still reads as %q", at, text)
		}
		s.dark[i] = !s.dark[i]
	}
}

// Whatever the text, it reads back, and no way of cutting it into one mode is smaller.
func TestEncodeDecodeRandom(t *testing.T) {
	t.Parallel()
	encoder := NewEncoder()
	rapid.Check(t, func(t *rapid.T) {
		part := rapid.OneOf(rapid.StringMatching(`[0-9]{1,20}`), rapid.StringMatching(`[A-Z $%*+./:-]{1,12}`),
			rapid.StringMatching(`[a-z/?=&]{1,12}`), rapid.StringN(1, 3, 9))
		want := strings.Join(rapid.SliceOfN(part, 1, 6).Draw(t, "parts"), "")
		s, err := encoder.Encode(want)
		if err != nil {
			t.Fatal(err)
		}
		got, _, err := decode(s)
		if err != nil || got != want {
			t.Fatalf("%q reads back as %q, %v", want, got, err)
		}
		mark := 0 // what the mark of UTF-8 takes
		if strings.ContainsFunc(want, func(r rune) bool { return r > 127 }) {
			mark = 12
		}
		for _, one := range []coding.Encoding{coding.Num(want), coding.Alpha(want), coding.String(want)} {
			whole := coding.Version(s.Version() - 1)
			if one.Check() == nil && whole > 0 && mark+one.Bits(whole) <= 8*whole.DataBytes(coding.M) {
				t.Fatalf("%q has version %d, one segment fits %d", want, s.Version(), whole)
			}
		}
	})
}

// The smallest cut is found: every way of cutting short texts is tried.
func TestSplitIsSmallest(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		text := make([]byte, 1+random.IntN(16))
		for i := range text {
			text[i] = "01234567ABCxyz"[random.IntN(14)]
		}
		for i := range text { // long runs of digits make switching worth while
			if i > 0 && random.IntN(3) > 0 {
				text[i] = text[i-1]
			}
		}
		long := strings.Repeat(string(text[:1]), random.IntN(20)) + string(text)
		got := 0
		for _, s := range split(long, 9) {
			got += s.Bits(9)
		}
		if want := smallest(long, map[string]int{}); got != want {
			t.Fatalf("%q takes %d bits, can take %d", long, got, want)
		}
	}
}

func smallest(text string, known map[string]int) int {
	if text == "" {
		return 0
	}
	if bits, ok := known[text]; ok {
		return bits
	}
	best := 1 << 30
	for end := 1; end <= len(text); end++ {
		for m := range modeCount {
			if e := encoding(m, text[:end]); e.Check() == nil {
				best = min(best, e.Bits(9)+smallest(text[end:], known))
			}
		}
	}
	known[text] = best
	return best
}

func TestEncodeRefuses(t *testing.T) {
	t.Parallel()
	if _, err := New(strings.Repeat("a", 2331)); err != nil {
		t.Errorf("the most that version 40-M holds: %v", err)
	}
	for _, text := range []string{"", strings.Repeat("a", 2332)} {
		_, err := New(text)
		if f, ok := fault.From(err); !ok || f.Code != "mark.bad_text" || f.Details[0].Field != "text" {
			t.Errorf("%d bytes: %v", len(text), err)
		}
	}
}

func TestEncoderIsConcurrent(t *testing.T) {
	t.Parallel()
	encoder := NewEncoder()
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			want := fmt.Sprintf("%s%d", printURL, i)
			s, err := encoder.Encode(want)
			if err != nil {
				t.Error(err)
				return
			}
			if got, _, err := decode(s); got != want {
				t.Errorf("%q reads back as %q, %v", want, got, err)
			}
		})
	}
	wait.Wait()
}

// lines parses rows of '#' and '.'.
func lines(rows ...string) []bool {
	var dark []bool
	for _, c := range strings.Join(rows, "") {
		dark = append(dark, c == '#')
	}
	return dark
}

func TestPenaltyRules(t *testing.T) {
	t.Parallel()
	line := func(row string) (int, int) {
		l := lines(row)
		return penaltyRuns(l, len(l), 1), penaltyFinders(l, len(l), 1)
	}
	for _, tt := range []struct {
		row           string
		runs, finders int
	}{
		{"####.###.", 0, 0},
		{"#####.#.#", 3, 0},
		{"########.", 6, 0},
		{"#####.....", 6, 0},
		{"#.###.#....#", 0, 40}, // at the edge: the quiet zone is light
		{"##.###.#####", 3, 0},
		{"##.###.#.##.###.#", 0, 40}, // only the last one ends at the quiet zone
		{"#....#.###.#....#", 0, 40}, // light on both sides is one finder
		{"#...#.###.#...#", 0, 0},
		{"#....#.###.###", 0, 40},
		{"####.#.###.#....", 0, 40},
	} {
		if runs, finders := line(tt.row); runs != tt.runs || finders != tt.finders {
			t.Errorf("%s: runs %d, finders %d; want %d, %d", tt.row, runs, finders, tt.runs, tt.finders)
		}
	}
	if got := penaltyBlocks(lines("##.", "##.", "##."), 3); got != 6 {
		t.Errorf("two overlapping blocks: %d", got)
	}
	if got := penaltyBlocks(lines("...", "...", "..."), 3); got != 12 {
		t.Errorf("four light blocks: %d", got)
	}
	for dark, want := range map[int]int{50: 0, 54: 0, 55: 10, 46: 0, 45: 10, 40: 20, 100: 100, 0: 100, 61: 20} {
		if got := penaltyBalance(lines(strings.Repeat("#", dark), strings.Repeat(".", 100-dark))); got != want {
			t.Errorf("%d %% dark: %d, want %d", dark, got, want)
		}
	}
	// Columns count as rows do.
	square := lines("#####", ".....", "#####", ".....", "#####")
	turned := make([]bool, 25)
	for i, d := range square {
		turned[i%5*5+i/5] = d
	}
	if a, b := penalty(square, 5), penalty(turned, 5); a != b {
		t.Errorf("penalty %d, turned %d", a, b)
	}
}

// The chosen mask is the one with the lowest penalty of the eight.
func TestBestMask(t *testing.T) {
	t.Parallel()
	chosen := map[int]bool{}
	for i := range 60 {
		text := fmt.Sprintf("%s%d", printURL, i*i)
		s, err := New(text)
		if err != nil {
			t.Fatal(err)
		}
		chosen[s.Mask()] = true
		least := penalty(s.dark, s.size)
		version, segments, _ := fit(text)
		for m := range maskCount {
			plan, err := coding.NewPlan(version, coding.M, coding.Mask(m))
			if err != nil {
				t.Fatal(err)
			}
			code, err := plan.Encode(segments...)
			if err != nil {
				t.Fatal(err)
			}
			dark := make([]bool, s.size*s.size)
			for i := range dark {
				dark[i] = code.Black(i%s.size, i/s.size)
			}
			p := penalty(dark, s.size)
			if p < least || m == s.Mask() && !cmp.Equal(dark, s.dark) {
				t.Errorf("%q: mask %d costs %d, the chosen %d costs %d", text, m, p, s.Mask(), least)
			}
		}
	}
	if len(chosen) < 4 {
		t.Errorf("60 texts chose only the masks %v", chosen)
	}
}

func BenchmarkNew(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := New(printURL); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	b.ReportAllocs()
	encoder := NewEncoder()
	for b.Loop() {
		if _, err := encoder.Encode(printURL); err != nil {
			b.Fatal(err)
		}
	}
}
