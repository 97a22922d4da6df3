package site

import (
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// What a story's page holds at most; with these it stays below 6 KB compressed.
const (
	storySteps  = 16 // how it began, and the newest
	storyBegin  = 3
	storyFacts  = 3  // of a step
	storyText   = 28 // characters of a place or a fact
	storyPoints = 48 // of the chart
)

// Story is the page of what happened to an item.
type Story struct {
	Lang           string
	Code           string
	Product, Brand string
	BatchNo        string
	Steps          []StoryStep     // the oldest first
	Courses        [][]Temperature // of each transport, oldest first
	Zone           *time.Location
}

// StoryStep is one thing that happened.
type StoryStep struct {
	Stage    string // as Step.Stage
	What     string // a business step or a disposition of the standard; translated when it is known
	Time     time.Time
	Location string
	Facts    []Fact
	Proof    string // a path of this host; "" = none
	Loading  bool
}

// Fact is a detail: a key that is translated, and its text.
type Fact struct{ Key, Text string }

// Temperature is a reading in degrees Celsius.
type Temperature struct {
	Time        time.Time
	Least, Most float64
}

type storyView struct {
	Product, Brand, Code, BatchNo, Zone string
	Steps                               []storyStepView
	Left                                int // steps that are not shown
	Chart                               *chartView
	Lang                                string
}

type storyStepView struct {
	Stage, What, Time, Place string
	Facts                    []row
	Proof                    string
	Loading                  bool
	After                    int // steps left out behind this one
}

type chartView struct {
	Range      string
	Band, Line string // paths
	From, To   string
}

// RenderStory writes the whole page.
func (s *Site) RenderStory(w io.Writer, p Story) error {
	l := s.language(p.Lang)
	at := l.formatter(p.Zone)
	v := storyView{
		Product: clip(p.Product, nameMax), Brand: clip(p.Brand, textMax), Code: groups(p.Code), BatchNo: clip(p.BatchNo, textMax),
		Zone: zoneName(p.Zone), Chart: chart(p.Courses, at), Lang: l.Lang,
	}
	steps := p.Steps
	if left := len(steps) - storySteps; left > 0 {
		steps = append(steps[:storyBegin:storyBegin], steps[storyBegin+left:]...)
		v.Left = left
	}
	for i := range steps {
		one := l.storyStep(&steps[i], at)
		if i == storyBegin-1 {
			one.After = v.Left
		}
		v.Steps = append(v.Steps, one)
	}
	return s.write(w, l.story, v)
}

func (l *language) storyStep(s *StoryStep, at func(time.Time) string) storyStepView {
	known := func(words map[string]string, text string) string {
		if word, ok := words[text]; ok {
			return word
		}
		return clip(strings.ReplaceAll(text, "_", " "), stageMax)
	}
	v := storyStepView{Stage: known(l.Stages, s.Stage), Loading: s.Loading}
	if s.Loading {
		return v
	}
	v.What, v.Time, v.Place, v.Proof = known(l.Doings, s.What), at(s.Time), clip(s.Location, storyText), s.Proof
	for _, f := range s.Facts[:min(storyFacts, len(s.Facts))] {
		v.Facts = append(v.Facts, row{known(l.Facts, f.Key), clip(f.Text, storyText)})
	}
	return v
}

// The chart's size, in units of its drawing.
const (
	chartWide = 300
	chartHigh = 70
)

// chart draws the course of temperatures on each transport: a band between the least and the
// most of each moment, and a line through its middle. nil = there are not two moments.
func chart(courses [][]Temperature, at func(time.Time) string) *chartView {
	count := 0
	for _, c := range courses {
		count += len(c)
	}
	each := (count + storyPoints - 1) / storyPoints
	var drawn [][]Temperature
	low, high := math.Inf(1), math.Inf(-1)
	var first, last time.Time
	for _, c := range courses {
		c = thinned(c, each)
		for _, t := range c {
			low, high = min(low, t.Least), max(high, t.Most)
			if first.IsZero() || t.Time.Before(first) {
				first = t.Time
			}
			if t.Time.After(last) {
				last = t.Time
			}
		}
		drawn = append(drawn, c)
	}
	if !last.After(first) {
		return nil
	}
	span, whole := max(high-low, 1), last.Sub(first).Seconds()
	x := func(t time.Time) string {
		return strconv.Itoa(int(math.Round(t.Sub(first).Seconds()/whole*chartWide))) + " "
	}
	y := func(v float64) string { return strconv.Itoa(chartHigh-int(math.Round((v-low)/span*chartHigh))) + " " }
	var band, line strings.Builder
	for _, c := range drawn {
		if len(c) == 0 {
			continue
		}
		band.WriteByte('M')
		line.WriteByte('M')
		for _, t := range c {
			band.WriteString(x(t.Time) + y(t.Most))
			line.WriteString(x(t.Time) + y((t.Least+t.Most)/2))
		}
		for _, t := range slices.Backward(c) {
			band.WriteString(x(t.Time) + y(t.Least))
		}
		band.WriteByte('z')
	}
	show := func(v float64) string { return strconv.FormatFloat(math.Round(v*10)/10+0, 'f', -1, 64) + " °C" }
	return &chartView{Range: show(low) + " – " + show(high), Band: band.String(), Line: line.String(), From: at(first), To: at(last)}
}

// thinned puts so many neighbours together; no peak is lost.
func thinned(all []Temperature, each int) (out []Temperature) {
	for len(all) > 0 {
		n := min(each, len(all))
		t := all[0]
		for _, next := range all[1:n] {
			t.Least, t.Most = min(t.Least, next.Least), max(t.Most, next.Most)
		}
		out, all = append(out, t), all[n:]
	}
	return out
}
