package app

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"time"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/timeline"
	"github.com/chopmark/chopmark/internal/trace"
)

// What the demo makes: all items but the last. What it packs: items 1 to 96, 24 to a case, four cases on a pallet. The item noStory
// goes the whole way, to its sale.
const (
	demoCase   = 24
	demoCases  = 4
	noStory    = 15
	demoLegs   = 10 // readings on each way
	demoPrefix = "690123456"
)

// journey is the history of a batch of the demo.
type journey struct {
	batch        *batch.Batch
	gtin         string
	grade, wares string
	inspector    string
	low, high    float64 // on the way, °C
	start        time.Time
}

// history gives liquor and medicine a life, through the doors that factories and
// warehouses use. It is the same at each start, so what is there already is a duplicate.
func (d *demo) history(ctx context.Context) error {
	for i, j := range []journey{
		{&d.liquor, "06901234567892", "优级 Premium", "高粱、小麦、水 Sorghum, wheat, water", "王建国", 12, 24, time.Date(2026, 9, 17, 1, 0, 0, 0, time.UTC)},
		{&d.pills, "06912345678902", "合格 Passed", "阿莫西林 Amoxicillin", "李敏", 15, 22, time.Date(2026, 11, 5, 2, 0, 0, 0, time.UTC)},
	} {
		if err := d.app.Stories.ChangePlaces(ctx, j.batch.BrandID, demoPlaces(), nil); err != nil {
			return err
		}
		raw, err := json.Marshal(map[string]any{
			"@context": []any{"https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld", map[string]string{"story": "https://chopmark.example/story/"}},
			"type":     "EPCISDocument", "schemaVersion": "2.0", "creationDate": j.start, "epcisBody": map[string]any{"eventList": d.events(&j, i)},
		})
		if err != nil {
			return err
		}
		done, err := d.app.Trace.Capture(ctx, trace.CaptureSpec{Brand: j.batch.BrandID}, string(raw))
		if err != nil {
			return err
		}
		if !done.Job.Success() {
			return fmt.Errorf("events of batch %s were refused: %v", j.batch.No, done.Job.Results)
		}
		if err := d.settle(ctx, j.batch.BrandID, raw); err != nil {
			return err
		}
	}
	return nil
}

// settle brings about what a document says of states, which would else follow it in a moment.
func (d *demo) settle(ctx context.Context, brand ids.BrandID, raw []byte) error {
	doc, err := d.app.Trace.ReadJSON(string(raw))
	if err != nil {
		return err
	}
	hashes := make([]trace.Hash, len(doc.Events))
	for i := range doc.Events {
		hashes[i] = d.app.Trace.Hash(doc.Events[i].Event)
	}
	return d.app.Trace.Bearings(ctx, brand, hashes, func(_ trace.Hash, all []trace.Bearing, err error) error {
		for i := range all {
			if err == nil {
				_, err = d.app.Batches.State(ctx, statementOf(&all[i]))
			}
		}
		return err
	})
}

// The places of the demo, by the number in their GLN.
const (
	demoFactory = iota + 1
	demoDepot
	demoDealer
	demoShop
)

func demoPlaces() []timeline.Place {
	return []timeline.Place{
		{ID: demoGLN(demoFactory), Name: "贵州 工厂 Factory, Guizhou", Kind: "factory"},
		{ID: demoGLN(demoDepot), Name: "武汉 中转仓 Depot, Wuhan", Kind: "warehouse"},
		{ID: demoGLN(demoDealer), Name: "上海 经销商 Dealer, Shanghai", Kind: "dealer"},
		{ID: demoGLN(demoShop), Name: "上海 徐汇店 Shop, Xuhui", Kind: "store"},
	}
}

func demoGLN(n int) string {
	return gs1.CanonicalStem + "/414/" + checked(fmt.Sprintf("%s%03d", demoPrefix, n))
}

func demoSSCC(brand, n int) string {
	return gs1.CanonicalStem + "/00/" + checked(fmt.Sprintf("1%s%d%06d", demoPrefix, brand, n))
}

func checked(digits string) string { return digits + string(gs1.CheckDigit(digits)) }

// events are a journey's.
func (d *demo) events(j *journey, brand int) (all []map[string]any) {
	items := func(from, to int64) (out []string) {
		for no := from; no <= to; no++ {
			out = append(out, gs1.CanonicalStem+"/01/"+j.gtin+"/21/"+d.code(j.batch, no))
		}
		return out
	}
	at := func(hours float64) time.Time { return j.start.Add(time.Duration(hours * float64(time.Hour))) }
	event := func(kind, action string, hours float64, step, state string, place int, more map[string]any) {
		e := map[string]any{
			"type": kind, "action": action, "eventTime": at(hours), "eventTimeZoneOffset": "+08:00", "bizStep": step, "disposition": state,
			"readPoint": map[string]string{"id": demoGLN(place)}, "bizLocation": map[string]string{"id": demoGLN(place)},
		}
		maps.Copy(e, more)
		all = append(all, e)
	}
	of := func(epcs ...string) map[string]any { return map[string]any{"epcList": epcs} }
	made := of(items(1, noInactive-1)...)
	made["ilmd"] = map[string]string{"story:raw_materials": j.wares, "story:quality_grade": j.grade, "story:inspector": j.inspector}
	event("ObjectEvent", "ADD", 0, "commissioning", "active", demoFactory, made)
	pallet := demoSSCC(brand, 0)
	var cases []string
	for c := range demoCases {
		cases = append(cases, demoSSCC(brand, c+1))
		event("AggregationEvent", "ADD", 4+float64(c)/10, "packing", "in_progress", demoFactory,
			map[string]any{"parentID": cases[c], "childEPCs": items(int64(c*demoCase+1), int64((c+1)*demoCase))})
	}
	event("AggregationEvent", "ADD", 6, "packing", "in_progress", demoFactory, map[string]any{"parentID": pallet, "childEPCs": cases})
	leg := func(epcs []string, from, to float64, away, there int, carrier, number string) {
		sent := of(epcs...)
		sent["story:carrier"], sent["story:tracking_no"] = carrier, number
		event("ObjectEvent", "OBSERVE", from, "shipping", "in_transit", away, sent)
		got := of(epcs...)
		got["sensorElementList"] = []any{map[string]any{"sensorReport": j.readings(at(from), at(to))}}
		event("ObjectEvent", "OBSERVE", to, "receiving", "in_progress", there, got)
	}
	leg([]string{pallet}, 28, 52, demoFactory, demoDepot, "顺丰 SF Express", "SF1390024416")
	leg([]string{pallet}, 76, 100, demoDepot, demoDealer, "京东物流 JD Logistics", "JDVB0208816")
	event("AggregationEvent", "DELETE", 110, "unpacking", "in_progress", demoDealer, map[string]any{"parentID": pallet, "childEPCs": cases[:1]})
	event("AggregationEvent", "DELETE", 111, "unpacking", "in_progress", demoDealer, map[string]any{"parentID": cases[0], "childEPCs": items(1, demoCase)})
	leg(items(1, demoCase), 114, 118, demoDealer, demoShop, "闪送 City courier", "TDH884120")
	event("ObjectEvent", "OBSERVE", 120, "stocking", "sellable_accessible", demoShop, of(items(1, demoCase)...))
	event("ObjectEvent", "OBSERVE", 170, "retail_selling", "retail_sold", demoShop, of(items(noStory, noStory)...))
	return all
}

// readings are what a logger in the lorry read: cool in the morning, warm after noon.
func (j *journey) readings(from, to time.Time) (all []map[string]any) {
	for i := range demoLegs + 1 {
		part := float64(i) / demoLegs
		v := j.low + (j.high-j.low)*(0.5-0.5*math.Cos(part*2*math.Pi*1.3))
		all = append(all, map[string]any{
			"type": "Temperature", "value": math.Round(v*10) / 10, "uom": "CEL", "time": from.Add(time.Duration(part * float64(to.Sub(from)))),
		})
	}
	return all
}

// story is the page of the item that went the whole way.
func (d *demo) story(origin string) string {
	return origin + "/api/v1/trace/" + d.code(&d.liquor, noStory)
}
