package trace

// form is what a value of a sensor must look like.
type form uint8

const (
	asURI form = iota
	asTime
	asNumber
	asText
	asBool
	asHex
	asMeasurement
	asAlert
	asComponent
)

type fieldSpec struct {
	name string
	form form
}

// The fields of a sensor, in the order in which they are hashed.
const (
	metaFields   = 8
	reportFields = 24

	metaTime      = 0
	metaStart     = 1
	metaEnd       = 2
	metaDevice    = 3
	metaMethod    = 6
	metaRules     = 7
	reportType    = 0
	reportDevice  = 2
	reportMethod  = 5
	reportTime    = 6
	reportMicro   = 7
	reportChem    = 8
	reportValue   = 9
	reportString  = 11
	reportBool    = 12
	reportHex     = 13
	reportURI     = 14
	reportMin     = 15
	reportMax     = 16
	reportMean    = 17
	reportDev     = 18
	reportRank    = 19
	reportPercent = 20
	reportUnit    = 21
	reportRules   = 23 // not hashed: the standard's order leaves it out
)

func metaSpec() *[metaFields]fieldSpec {
	return &[metaFields]fieldSpec{
		{"time", asTime}, {"startTime", asTime}, {"endTime", asTime}, {"deviceID", asURI}, {"deviceMetadata", asURI},
		{"rawData", asURI}, {"dataProcessingMethod", asURI}, {"bizRules", asURI},
	}
}

func reportSpec() *[reportFields]fieldSpec {
	return &[reportFields]fieldSpec{
		{"type", asMeasurement}, {"exception", asAlert}, {"deviceID", asURI}, {"deviceMetadata", asURI}, {"rawData", asURI},
		{"dataProcessingMethod", asURI}, {"time", asTime}, {"microorganism", asURI}, {"chemicalSubstance", asURI},
		{"value", asNumber}, {"component", asComponent}, {"stringValue", asText}, {"booleanValue", asBool},
		{"hexBinaryValue", asHex}, {"uriValue", asURI}, {"minValue", asNumber}, {"maxValue", asNumber}, {"meanValue", asNumber},
		{"sDev", asNumber}, {"percRank", asNumber}, {"percValue", asNumber}, {"uom", asText}, {"coordinateReferenceSystem", asURI},
		{"bizRules", asURI},
	}
}

// mask is a set of event types.
type mask uint8

const (
	objects mask = 1 << iota
	aggregations
	associations
	transactions
	transformations

	packings = aggregations | associations
	anyType  = objects | packings | transactions | transformations
)

func maskOf(eventType string) mask {
	switch eventType {
	case ObjectEvent:
		return objects
	case AggregationEvent:
		return aggregations
	case AssociationEvent:
		return associations
	case TransactionEvent:
		return transactions
	case TransformationEvent:
		return transformations
	}
	return 0
}

// field is one of the standard's fields of events; 0 = none of them.
type field uint8

// The fields, in the order in which they are judged.
const (
	fContext field = iota + 1
	fType
	fEventTime
	fRecordTime
	fOffset
	fEventID
	fCertification
	fDeclaration
	fAction
	fParent
	fEPCs
	fChildren
	fInputs
	fOutputs
	fQuantities
	fChildQuantities
	fInputQuantities
	fOutputQuantities
	fTransformation
	fStep
	fDisposition
	fPersistent
	fReadPoint
	fLocation
	fTransactions
	fSources
	fDestinations
	fSensors
	fILMD

	fields
)

func (f field) String() string {
	return [fields]string{fContext: "@context", fType: "type", fEventTime: "eventTime", fRecordTime: "recordTime", fOffset: "eventTimeZoneOffset", fEventID: "eventID", fCertification: "certificationInfo", fDeclaration: "errorDeclaration", fAction: "action", fParent: "parentID", fEPCs: "epcList", fChildren: "childEPCs", fInputs: "inputEPCList", fOutputs: "outputEPCList", fQuantities: "quantityList", fChildQuantities: "childQuantityList", fInputQuantities: "inputQuantityList", fOutputQuantities: "outputQuantityList", fTransformation: "transformationID", fStep: "bizStep", fDisposition: "disposition", fPersistent: "persistentDisposition", fReadPoint: "readPoint", fLocation: "bizLocation", fTransactions: "bizTransactionList", fSources: "sourceList", fDestinations: "destinationList", fSensors: "sensorElementList", fILMD: "ilmd"}[f]
}

func fieldOf(key string) field {
	switch key {
	case "@context":
		return fContext
	case "type":
		return fType
	case "eventTime":
		return fEventTime
	case "recordTime":
		return fRecordTime
	case "eventTimeZoneOffset":
		return fOffset
	case "eventID":
		return fEventID
	case "certificationInfo":
		return fCertification
	case "errorDeclaration":
		return fDeclaration
	case "action":
		return fAction
	case "parentID":
		return fParent
	case "epcList":
		return fEPCs
	case "childEPCs":
		return fChildren
	case "inputEPCList":
		return fInputs
	case "outputEPCList":
		return fOutputs
	case "quantityList":
		return fQuantities
	case "childQuantityList":
		return fChildQuantities
	case "inputQuantityList":
		return fInputQuantities
	case "outputQuantityList":
		return fOutputQuantities
	case "transformationID":
		return fTransformation
	case "bizStep":
		return fStep
	case "disposition":
		return fDisposition
	case "persistentDisposition":
		return fPersistent
	case "readPoint":
		return fReadPoint
	case "bizLocation":
		return fLocation
	case "bizTransactionList":
		return fTransactions
	case "sourceList":
		return fSources
	case "destinationList":
		return fDestinations
	case "sensorElementList":
		return fSensors
	case "ilmd":
		return fILMD
	}
	return 0
}

// typesWith tells which types of events have a field.
func typesWith(f field) mask {
	switch f {
	case fAction:
		return anyType &^ transformations
	case fEPCs, fQuantities:
		return objects | transactions
	case fParent:
		return packings | transactions
	case fChildren, fChildQuantities:
		return packings
	case fInputs, fInputQuantities, fOutputs, fOutputQuantities, fTransformation:
		return transformations
	case fPersistent, fILMD:
		return objects | transformations
	default:
		return anyType
	}
}
