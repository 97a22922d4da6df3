package site

import (
	"io"
	"math"
	"strconv"
	"strings"
	"time"
)

// What a story's page holds at most; with these it stays below 6 KB compressed.
const (
	storySteps  = 12 // the first, and the newest
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
	Steps          []StoryStep // the oldest first
	Temperatures   []Temperature
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
	High, Low  string
}

// RenderStory writes the whole page.
func (s *Site) RenderStory(w io.Writer, p Story) error {
	l := s.language(p.Lang)
	at := l.formatter(p.Zone)
	v := storyView{
		Product: clip(p.Product, nameMax), Brand: clip(p.Brand, textMax), Code: groups(p.Code), BatchNo: clip(p.BatchNo, textMax),
		Zone: zoneName(p.Zone), Chart: chart(p.Temperatures, at), Lang: l.Lang,
	}
	steps := p.Steps
	if left := len(steps) - storySteps; left > 0 {
		steps = append(steps[:1:1], steps[1+left:]...)
		v.Left = left
	}
	for i := range steps {
		one := l.storyStep(&steps[i], at)
		if i == 0 {
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

// chart draws the course of temperatures: a band between the least and the most of each
// moment, and a line through its middle. nil = there are not two moments.
func chart(all []Temperature, at func(time.Time) string) *chartView {
	if len(all) > storyPoints {
		all = thinned(all)
	}
	if len(all) < 2 || !all[len(all)-1].Time.After(all[0].Time) {
		return nil
	}
	low, high := all[0].Least, all[0].Most
	for _, t := range all {
		low, high = min(low, t.Least), max(high, t.Most)
	}
	span := max(high-low, 1)
	first, whole := all[0].Time, all[len(all)-1].Time.Sub(all[0].Time).Seconds()
	x := func(t time.Time) int { return int(math.Round(t.Sub(first).Seconds() / whole * chartWide)) }
	y := func(v float64) int { return chartHigh - int(math.Round((v-low)/span*chartHigh)) }
	var band, back, line strings.Builder
	point := func(b *strings.Builder, x, y int) {
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(strconv.Itoa(x) + " " + strconv.Itoa(y))
	}
	for i, t := range all {
		point(&band, x(t.Time), y(t.Most))
		point(&line, x(t.Time), y((t.Least+t.Most)/2))
		point(&back, x(all[len(all)-1-i].Time), y(all[len(all)-1-i].Least))
	}
	show := func(v float64) string { return strconv.FormatFloat(math.Round(v*10)/10+0, 'f', -1, 64) + " °C" }
	return &chartView{
		Range: show(low) + " – " + show(high), Band: "M" + band.String() + " " + back.String() + "z", Line: "M" + line.String(),
		From: at(first), To: at(all[len(all)-1].Time), High: show(high), Low: show(low),
	}
}

// thinned puts neighbours together; no peak is lost.
func thinned(all []Temperature) (out []Temperature) {
	each := (len(all) + storyPoints - 1) / storyPoints
	for len(all) > 0 {
		t := all[0]
		for _, next := range all[:min(each, len(all))] {
			t.Least, t.Most = min(t.Least, next.Least), max(t.Most, next.Most)
		}
		out, all = append(out, t), all[min(each, len(all)):]
	}
	return out
}
