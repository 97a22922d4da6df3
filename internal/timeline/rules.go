package timeline

import (
	"maps"
	"slices"
	"strings"
)

// Rules are what a brand lets the public see. The zero Rules are the usual ones.
type Rules struct {
	Show     []string // keys beyond the usual
	Hide     []string // stages, keys ("location" too), or "stage.key"
	Mask     []string // keys whose names are masked
	MaskSet  bool     // Mask was chosen; false = usualMasks
	NoPlaces bool     // places are nobody's business
}

// The keys that the public may see unless a brand says otherwise. What a source tells
// beyond them stays inside.
func usual(key string) bool {
	switch key {
	case "state", "reason", "undoes", "batch_no", "production_date", "step",
		"raw_materials", "quality_grade", "inspector", "quality_report",
		"carrier", "tracking_no", "temperature", "readings", "seller", "event_id", "proof":
		return true
	}
	return false
}

func (r *Rules) masks(key string) bool {
	if !r.MaskSet {
		return key == "inspector"
	}
	return slices.Contains(r.Mask, key)
}

func (r *Rules) hides(stage, key string) bool {
	return slices.Contains(r.Hide, key) || slices.Contains(r.Hide, stage+"."+key) || key == "location" && r.NoPlaces ||
		key == "readings" && r.hides(stage, "temperature")
}

// public is what strangers see of steps.
func (r Rules) public(steps []Step) []Step {
	out := make([]Step, 0, len(steps))
	for _, s := range steps {
		if slices.Contains(r.Hide, s.Stage) {
			continue
		}
		if r.hides(s.Stage, "location") {
			s.Location = ""
		}
		s.Details = maps.Clone(s.Details)
		maps.DeleteFunc(s.Details, func(key string, _ any) bool {
			return !usual(key) && !slices.Contains(r.Show, key) || r.hides(s.Stage, key)
		})
		for key, v := range s.Details {
			if r.masks(key) {
				s.Details[key] = masked(v)
			}
		}
		out = append(out, s)
	}
	return out
}

// masked leaves the first letter of each word. What is no text is left out as a whole.
func masked(v any) string {
	text, ok := v.(string)
	if !ok {
		return "***"
	}
	words := strings.Fields(text)
	for i, w := range words {
		for _, r := range w {
			words[i] = string(r) + "**"
			break
		}
	}
	return strings.Join(words, " ")
}
