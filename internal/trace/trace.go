// Package trace keeps what was done to items: EPCIS 2.0 events, what is packed in what,
// and what the events say about an item's state.
//
// Promise: what Read takes is a valid EPCIS event, and what Append writes of it is one
// too, equal by event hash (TestExamplesComeBackEqual). An event is refused with the path
// and the reason, never repaired. Read refuses whatever the official JSON schema refuses,
// and says of what else it refuses that the refusal is its own (TestAgreesWithSchema).
//
// Sources: EPCIS 2.0 and CBV 2.0 (GS1), the JSON schema and the REST bindings that come
// with them, EPCIS 1.2 for its XML.
package trace

import (
	"fmt"
	"time"

	"github.com/chopmark/chopmark/internal/platform/fault"
)

// Limits bounds one document.
type Limits struct {
	Bytes  int64
	Events int
	Values int // JSON values or XML elements and attributes
	Depth  int
}

// UsualLimits is what a capture takes. An EPC is a value.
func UsualLimits() Limits {
	return Limits{Bytes: 32 << 20, Events: 10_000, Values: 1_000_000, Depth: 32}
}

const (
	numberBytesMax   = 64
	textBytesMax     = 8 << 10 // of one value of an event, what a URI holds included
	problemsMax      = 20      // that are told of one event
	timeBytesMax     = 64
	extensionsMax    = 1000 // fields at one level
	prefixesMax      = 100  // namespaces of a document
	offsetLength     = len("+00:00")
	offsetHoursLimit = 14
)

// What a caller may be told of a document as a whole.
var (
	errNotJSON    = fault.New(fault.Invalid, "trace.bad_json", "the document is not well-formed JSON")
	errNotXML     = fault.New(fault.Invalid, "trace.bad_xml", "the document is not well-formed XML")
	errBadDoc     = fault.New(fault.Invalid, "trace.bad_document", "the document is not a valid EPCIS document")
	ErrTooLarge   = fault.New(fault.TooLarge, "trace.too_large", "the document is larger than is taken at once")
	ErrBadEvent   = fault.New(fault.Invalid, "trace.bad_event", "the event is not a valid EPCIS event")
	ErrDuplicate  = fault.New(fault.Conflict, "trace.duplicate", "this event is here already")
	ErrUnknownJob = fault.New(fault.NotFound, "trace.unknown_job", "no such capture job")
	ErrNoEvent    = fault.New(fault.NotFound, "trace.unknown_event", "no such event")
)

// Problem is why an event is refused: where, and what is wrong there.
type Problem struct {
	Path   string `json:"path"`
	Reason string `json:"reason"`
	// Ours says that the JSON schema would take it: the standard's text, or a limit of
	// ours, does not.
	Ours bool `json:"-"`
}

func (p Problem) String() string { return p.Path + ": " + p.Reason }

// Refused makes the fault of an event that is not valid.
func Refused(of *fault.Error, problems []Problem) error {
	f := of
	if len(problems) > 0 {
		f = of.Textf("%s", problems[0])
	}
	for _, p := range problems {
		f = f.With(fault.Detail{Field: p.Path, Reason: p.Reason})
	}
	return f
}

// Action is how an event relates to the life of what it names.
type Action string

// The actions.
const (
	Add     Action = "ADD"
	Observe Action = "OBSERVE"
	Delete  Action = "DELETE"
)

// The types of events.
const (
	ObjectEvent         = "ObjectEvent"
	AggregationEvent    = "AggregationEvent"
	AssociationEvent    = "AssociationEvent"
	TransactionEvent    = "TransactionEvent"
	TransformationEvent = "TransformationEvent"
)

// EventTypes lists them.
func EventTypes() []string {
	return []string{AggregationEvent, AssociationEvent, ObjectEvent, TransactionEvent, TransformationEvent}
}

// Event is one EPCIS event. Words of the Core Business Vocabulary are bare
// ("shipping"), words of others are URIs. EPCs are as they were written.
type Event struct {
	Type       string
	ID         string // eventID; "" = none was given
	Time       time.Time
	RecordTime time.Time // when it was captured; zero = not yet
	Offset     string    // eventTimeZoneOffset
	Certified  []string  // certificationInfo
	Declared   *ErrorDeclaration

	Action           Action
	Step             string // bizStep
	Disposition      string
	Set, Unset       []string // persistentDisposition
	ReadPoint        Place
	Location         Place      // bizLocation
	Parent           string     // parentID
	EPCs             []string   // epcList, childEPCs or inputEPCList
	Outputs          []string   // outputEPCList
	Quantities       []Quantity // quantityList, childQuantityList or inputQuantityList
	OutputQuantities []Quantity
	Transformation   string // transformationID
	Transactions     []Typed
	Sources          []Typed
	Destinations     []Typed
	Sensors          []Sensor
	ILMD             []Field
	Extensions       []Field
}

// ErrorDeclaration says that the event is not to be believed.
type ErrorDeclaration struct {
	Time       time.Time
	Reason     string
	Corrective []string
	Extensions []Field
}

// Place is a read point or a business location; the zero Place is none.
type Place struct {
	ID         string
	Extensions []Field
}

// Quantity is so much of a class. Number and Unit are "" when they are not given.
type Quantity struct{ Class, Number, Unit string }

// Typed is a business transaction, a source or a destination.
type Typed struct{ Type, ID string }

// Sensor is a sensorElement.
type Sensor struct {
	Meta           [metaFields]string // by the order of metaSpec
	MetaExtensions []Field
	HasMeta        bool
	Reports        []Report
	Extensions     []Field
}

// Report is a sensorReport: values by the order of reportSpec, "" where there is none.
type Report struct {
	Values     [reportFields]string
	Extensions []Field
}

// Field is an extension: a name in somebody's namespace, and its value.
type Field struct {
	Space  string // the namespace; "" = the name has none
	Prefix string // how the document abbreviated it; "" = it did not
	Name   string
	Value  Value
}

// Value is an extension's value: a text (numbers and truth values keep their letters), a
// list, or further fields.
type Value struct {
	kind   kind
	Text   string
	List   []Value
	Fields []Field
}

// Lists gives the names that the event's lists have in JSON: of EPCs and quantities, and
// of a transformation's outputs.
func lists(eventType string) (epcs, quantities string) {
	switch eventType {
	case AggregationEvent, AssociationEvent:
		return "childEPCs", "childQuantityList"
	case TransformationEvent:
		return "inputEPCList", "inputQuantityList"
	}
	return "epcList", "quantityList"
}

var _ fmt.Stringer = Problem{}
