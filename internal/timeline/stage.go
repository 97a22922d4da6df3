package timeline

import "github.com/chopmark/chopmark/internal/gs1"

// stageOfState is where in an item's life a state belongs.
func stageOfState(state gs1.Disposition) string {
	switch state {
	case gs1.Encoded, gs1.Inactive, gs1.Active:
		return Production
	case gs1.InProgress, gs1.InTransit, gs1.SellableAccessible, gs1.SellableNotAccessible, gs1.Returned:
		return Logistics
	case gs1.RetailSold, gs1.Dispensed:
		return Sales
	default:
		return Quality
	}
}

// stageOfStep is where an event belongs, by its business step (CBV 2.0, section 7.1).
func stageOfStep(e *Event) string {
	switch e.Step {
	case "commissioning", "creating_class_instance", "encoding", "inspecting", "sampling":
		return Production
	case "assembling", "disassembling", "installing", "packing", "repackaging", "repairing", "replacing", "unpacking":
		return Processing
	case "retail_selling", "dispensing", "stocking", "reserving":
		return Sales
	case "decommissioning", "destroying", "holding", "killing":
		return Quality
	}
	if e.Type == "TransformationEvent" {
		return Processing
	}
	switch e.Disposition {
	case "retail_sold", "dispensed":
		return Sales
	case "recalled", "destroyed", "expired", "damaged", "stolen", "disposed", "non_sellable_other":
		return Quality
	}
	return Logistics
}
