package trace

import "strings"

// vocabulary is a list of CBV words, which JSON writes bare, and how XML and the hash
// write them. Words of others are URIs.
type vocabulary struct {
	words map[string]bool
	urn   string // how EPCIS 1.2 writes one: this, and the word
	web   string // its address, the form that is hashed
	curie string // the abbreviated address
	// closed is where words of others must not lie: addresses of the CBV are for its words.
	closed []string
}

func (v *vocabulary) has(word string) bool { return v.words[word] }

// bare gives the word that an address stands for; what is no such address is left as it is.
func (v *vocabulary) bare(uri string) string {
	for _, form := range [...]string{v.web, v.curie, v.urn} {
		if word, ok := strings.CutPrefix(uri, form); ok && form != "" && v.has(word) {
			return word
		}
	}
	return uri
}

// full is the address of a word; what is no word is left as it is.
func (v *vocabulary) full(word string) string {
	if v.has(word) {
		return v.web + word
	}
	return word
}

// open reports whether a URI may be a word of somebody else.
func (v *vocabulary) open(uri string) bool {
	for _, c := range v.closed {
		if strings.HasPrefix(uri, c) {
			return false
		}
	}
	return true
}

func cbv(name, urn, words string) *vocabulary {
	return &vocabulary{set(words), "urn:epcglobal:cbv:" + urn + ":", "https://ref.gs1.org/cbv/" + name + "-", "cbv:" + name + "-",
		[]string{"urn:epcglobal:cbv", "https://ns.gs1.org/cbv/", "http://ns.gs1.org/cbv/"}}
}

func webVoc(prefix, words string) *vocabulary {
	return &vocabulary{set(words), "", "https://ref.gs1.org/voc/" + prefix, "gs1:" + prefix,
		[]string{"https://gs1.org/voc/", "http://gs1.org/voc/", "https://www.gs1.org/voc/", "http://www.gs1.org/voc/"}}
}

func set(words string) map[string]bool {
	all := map[string]bool{}
	for w := range strings.FieldsSeq(words) {
		all[w] = true
	}
	return all
}

// vocabularies are the CBV's, as far as events use them.
type vocabularies struct {
	step, disposition, transaction, party, reason, component, measurement, alert *vocabulary
}

func newVocabularies() *vocabularies {
	return &vocabularies{
		step: cbv("BizStep", "bizstep",
			"accepting arriving assembling collecting commissioning consigning creating_class_instance "+
				"cycle_counting decommissioning departing destroying disassembling dispensing encoding "+
				"entering_exiting holding inspecting installing killing loading other packing picking receiving "+
				"removing repackaging repairing replacing reserving retail_selling shipping staging_outbound "+
				"stock_taking stocking storing transporting unloading unpacking void_shipping sensor_reporting "+
				"sampling"),
		disposition: cbv("Disp", "disp",
			" active container_closed damaged destroyed dispensed disposed encoded expired in_progress in_transit "+
				"inactive no_pedigree_match non_sellable_other partially_dispensed recalled reserved retail_sold "+
				"returned sellable_accessible sellable_not_accessible stolen unknown available completeness_verified "+
				"completeness_inferred conformant container_open mismatch_instance mismatch_class mismatch_quantity "+
				"needs_replacement non_conformant unavailable "),
		transaction: cbv("BTT", "btt",
			" bol cert desadv inv pedigree po poc prodorder recadv rma testprd testres upevt "),
		party: cbv("SDT", "sdt",
			" owning_party possessing_party location "),
		reason: cbv("ER", "er",
			" did_not_occur incorrect_data "),
		component: cbv("Comp", "comp",
			" x y z axial_distance azimuth height spherical_radius polar_angle elevation_angle easting northing "+
				"latitude longitude altitude "),
		measurement: webVoc("",
			" AbsoluteHumidity AbsorbedDose AbsorbedDoseRate Acceleration Radioactivity Altitude AmountOfSubstance "+
				"AmountOfSubstancePerUnitVolume Angle AngularAcceleration AngularMomentum AngularVelocity Area "+
				"Capacitance Conductance Conductivity Count Density Dimensionless DoseEquivalent DoseEquivalentRate "+
				"DynamicViscosity ElectricCharge ElectricCurrent ElectricCurrentDensity ElectricFieldStrength Energy "+
				"Exposure Force Frequency Illuminance Inductance Irradiance KinematicViscosity Length LinearMomentum "+
				"Luminance LuminousFlux LuminousIntensity MagneticFlux MagneticFluxDensity MagneticVectorPotential "+
				"Mass MassConcentration MassFlowRate MassPerAreaTime MemoryCapacity MolalityOfSolute MolarEnergy "+
				"MolarMass MolarVolume Power Pressure RadiantFlux RadiantIntensity RelativeHumidity Resistance "+
				"Resistivity SolidAngle SpecificVolume Speed SurfaceDensity SurfaceTension Temperature Time Torque "+
				"Voltage Volume VolumeFlowRate VolumeFraction VolumetricFlux Wavenumber "),
		alert: webVoc("SensorAlertType-",
			" ALARM_CONDITION ERROR_CONDITION "),
	}
}
