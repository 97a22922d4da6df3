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

// typesWith tells which types of events have a field; 0 = it is none of the standard's.
func typesWith(key string) mask {
	switch key {
	case "@context", "type", "eventTime", "recordTime", "eventTimeZoneOffset", "eventID", "certificationInfo", "errorDeclaration",
		"bizStep", "disposition", "readPoint", "bizLocation", "bizTransactionList", "sourceList", "destinationList", "sensorElementList":
		return anyType
	case "action":
		return anyType &^ transformations
	case "epcList", "quantityList":
		return objects | transactions
	case "parentID":
		return packings | transactions
	case "childEPCs", "childQuantityList":
		return packings
	case "inputEPCList", "inputQuantityList", "outputEPCList", "outputQuantityList", "transformationID":
		return transformations
	case "persistentDisposition", "ilmd":
		return objects | transformations
	}
	return 0
}
