package trace

import (
	"bytes"
	"errors"
	"testing"
	"time"
)

// TestXMLComesBackEqual writes every example as XML, in either form of words, and reads that
// again: the event hashes must be the same.
func TestXMLComesBackEqual(t *testing.T) {
	t.Parallel()
	c := NewCodec(UsualLimits())
	n := 0
	for name, raw := range examples(t) {
		d, err := c.ReadJSON(string(raw))
		events := eventsOf(t, d, err)
		for _, web := range []bool{false, true} {
			var answer bytes.Buffer
			write, err := c.QueryXML(EntriesOf(entriesOf(events)), Around{Query: "q", Created: time.Unix(0, 0)}, XMLForm{WebURI: web})
			if err == nil {
				err = write(&answer)
			}
			out := answer.Bytes()
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			d, err := c.ReadXML(string(out))
			if err != nil {
				t.Fatalf("%s: %v\n%s", name, err, out)
			}
			for i := range d.Events {
				n++
				if p := d.Events[i].Problems; len(p) > 0 {
					t.Errorf("%s, event %d: %v", name, i, p)
				} else if got, want := prehash(c, d.Events[i].Event), prehash(c, events[i]); !bytes.Equal(got, want) {
					t.Errorf("%s, event %d (sent, back):\n%s\n%s", name, i, want, got)
				} else if d.Events[i].Event.ID != events[i].ID {
					t.Errorf("%s, event %d: eventID %q came back as %q", name, i, events[i].ID, d.Events[i].Event.ID)
				}
			}
			if len(d.Events) != len(events) {
				t.Errorf("%s: %d events, %d back", name, len(events), len(d.Events))
			}
		}
	}
	if n < 100 {
		t.Errorf("only %d events", n)
	}
}

func TestWhatXMLCannotHold(t *testing.T) {
	t.Parallel()
	c := NewCodec(UsualLimits())
	for _, f := range []Field{
		{Space: "https://e.example/", Prefix: "e", Name: "a b", Value: Value{kind: text}}, {Space: "https://e.example/", Prefix: "e", Name: "a", Value: Value{kind: text, Text: "\x01"}},
	} {
		e := &Event{Type: ObjectEvent, Extensions: []Field{f}}
		if _, err := c.QueryXML(EntriesOf([]*Entry{{Event: e}}), Around{}, XMLForm{}); !errors.Is(err, ErrNoXML) {
			t.Errorf("%+v: %v", f, err)
		}
	}
}
