package gs1

import "fmt"

// Disposition is the business state of an item: the CBV 2.0 dispositions that
// Chopmark's items can have (section 7.2), and Void, which is ours.
type Disposition uint8

// The zero value is no disposition. The numbers are stored: append, never renumber.
const (
	_ Disposition = iota
	Encoded
	Inactive
	Active
	InProgress
	InTransit
	SellableAccessible
	SellableNotAccessible
	RetailSold
	Dispensed
	Returned
	Recalled
	Stolen
	Damaged
	NoPedigreeMatch
	Destroyed
	Disposed
	Expired
	Void // ours: the code was withdrawn by its brand, the item may still exist

	DispositionCount = int(Void)
)

var dispositionNames = [...]string{
	Encoded: "encoded", Inactive: "inactive", Active: "active", InProgress: "in_progress",
	InTransit: "in_transit", SellableAccessible: "sellable_accessible",
	SellableNotAccessible: "sellable_not_accessible", RetailSold: "retail_sold",
	Dispensed: "dispensed", Returned: "returned", Recalled: "recalled", Stolen: "stolen",
	Damaged: "damaged", NoPedigreeMatch: "no_pedigree_match", Destroyed: "destroyed",
	Disposed: "disposed", Expired: "expired", Void: "void",
}

// String is the CBV name, as in "retail_sold".
func (d Disposition) String() string {
	if d.Known() {
		return dispositionNames[d]
	}
	return fmt.Sprintf("disposition(%d)", uint8(d))
}

// Known reports whether d is one of the dispositions above.
func (d Disposition) Known() bool { return d >= Encoded && d <= Void }

// Dispositions lists them all in their stored order.
func Dispositions() []Disposition {
	all := make([]Disposition, DispositionCount)
	for i := range all {
		all[i] = Disposition(i + 1)
	}
	return all
}

// ParseDisposition reads a CBV name.
func ParseDisposition(name string) (Disposition, bool) {
	for i, n := range dispositionNames {
		if n != "" && n == name {
			return Disposition(i), true
		}
	}
	return 0, false
}
