package trace

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestMasterDataOfXML: the same things told in JSON, in XML of EPCIS 2.0 and in XML of 1.2, where
// they stand in an extension, are read as the same.
func TestMasterDataOfXML(t *testing.T) {
	t.Parallel()
	const (
		list = `<VocabularyList><Vocabulary type="urn:epcglobal:epcis:vtype:BusinessLocation"><VocabularyElementList>
			<VocabularyElement id="urn:epc:id:sgln:4012345.00011.0">
				<attribute id="urn:epcglobal:cbv:mda#countryCode">CH</attribute><attribute id="urn:epcglobal:cbv:mda#latitude">47.5</attribute>
				<attribute id="urn:epcglobal:cbv:mda#address"><ex:Address xmlns:ex="https://example.com/ns/"><city>Zug</city></ex:Address></attribute>
				<children><id>urn:epc:id:sgln:4012345.00011.7</id><id>https://example.com/yard</id></children>
			</VocabularyElement>
			<VocabularyElement id="https://example.com/empty"/></VocabularyElementList></Vocabulary>
			<Vocabulary type="urn:epcglobal:epcis:vtype:ReadPoint"><VocabularyElementList>
			<VocabularyElement id="https://example.com/door"><attribute id="https://example.com/ns/colour">red &amp; white</attribute></VocabularyElement>
			</VocabularyElementList></Vocabulary></VocabularyList>`
		open, shut = ` schemaVersion="2.0" creationDate="2026-03-01T00:00:00Z"><EPCISHeader>`, `</EPCISHeader><EPCISBody><EventList/></EPCISBody></epcis:EPCISDocument>`
		mda        = "urn:epcglobal:cbv:mda"
	)
	yard := []string{Canonical("urn:epc:id:sgln:4012345.00011.7"), "https://example.com/yard"}
	want := []Master{
		{vtype + "BusinessLocation", Canonical("urn:epc:id:sgln:4012345.00011.0"), []Attribute{{mda + "countryCode", "CH"}, {mda + "latitude", "47.5"}, {mda + "address", ""}}, yard},
		{Type: vtype + "BusinessLocation", ID: "https://example.com/empty"},
		{Type: vtype + "ReadPoint", ID: "https://example.com/door", Attributes: []Attribute{{"https://example.com/ns/colour", "red & white"}}},
	}
	c := NewCodec(UsualLimits())
	for name, of := range map[string]struct {
		read func(string) (*Document, error)
		raw  string
	}{
		"2.0": {c.ReadXML, `<epcis:EPCISDocument xmlns:epcis="urn:epcglobal:epcis:xsd:2"` + open + `<EPCISMasterData>` + list + `</EPCISMasterData>` + shut},
		"1.2": {c.ReadXML, `<epcis:EPCISDocument xmlns:epcis="urn:epcglobal:epcis:xsd:1"` + open + `<extension><EPCISMasterData>` + list + `</EPCISMasterData></extension>` + shut},
		"JSON": {c.ReadJSON, `{"@context":["` + StandardContext + `"],"type":"EPCISDocument","schemaVersion":"2.0","creationDate":"2026-03-01T00:00:00Z",
			"epcisHeader":{"epcisMasterData":{"vocabularyList":[
			{"type":"urn:epcglobal:epcis:vtype:BusinessLocation","vocabularyElementList":[
				{"id":"urn:epc:id:sgln:4012345.00011.0","attributes":[{"id":"` + mda + `#countryCode","attribute":"CH"},{"id":"` + mda + `#latitude","attribute":47.5},
				{"id":"` + mda + `#address","attribute":{"city":"Zug"}}],"children":["urn:epc:id:sgln:4012345.00011.7","https://example.com/yard"]},
				{"id":"https://example.com/empty"}]},
			{"type":"urn:epcglobal:epcis:vtype:ReadPoint","vocabularyElementList":[
				{"id":"https://example.com/door","attributes":[{"id":"https://example.com/ns/colour","attribute":"red & white"}]}]}]}},
			"epcisBody":{"eventList":[]}}`},
	} {
		d, err := of.read(of.raw)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(want, d.Masters); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if _, err := c.ReadXML(`<epcis:EPCISDocument xmlns:epcis="urn:epcglobal:epcis:xsd:2"` + open + `<EPCISMasterData><VocabularyList><Vocabulary type="urn:x:y"><VocabularyElementList>
		<VocabularyElement><attribute id="urn:x:a">b</attribute></VocabularyElement></VocabularyElementList></Vocabulary></VocabularyList></EPCISMasterData>` + shut); err == nil {
		t.Error("a thing without a name is taken")
	}
}
