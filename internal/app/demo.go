package app

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/codebook"
	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/internal/site"
	"github.com/chopmark/chopmark/internal/verify"
)

// demo is a small world to look at: two brands whose codes are in every state. All
// of it comes through the public use cases, under request ids of its own, so that
// a second start finds it and a start that was cut off goes on.
type demo struct {
	app    *App
	liquor batch.Batch // print, hourly
	spirit batch.Batch // print, no rotation
	pills  batch.Batch // print, with inner codes
	ticket batch.Batch // display, hourly
}

// demoCommand names one step of the demo.
func demoCommand(step string) batch.Command {
	return batch.Command{
		Request: ids.Request{Key: sha256.Sum256([]byte("demo/1/" + step)), Body: sha256.Sum256([]byte(step))},
		Actor:   "demo",
	}
}

const demoQuantity = 1000

// The numbers of the demo's codes, in each batch of its own.
const (
	noFresh = 1 + iota
	noAgain
	noSold
	noStolen
	noRecalled
	noVoid
	noExpired
	noReissued
	noInactive = demoQuantity // never activated
)

// seedDemo makes the demo's brands, batches, states and scans.
func (a *App) seedDemo(ctx context.Context) error {
	d := &demo{app: a}
	if err := d.issue(ctx); err != nil {
		return fmt.Errorf("make the demo: %w", err)
	}
	if err := d.history(ctx); err != nil { // first: what is done now comes after it
		return fmt.Errorf("make the demo's history: %w", err)
	}
	if err := d.live(ctx); err != nil {
		return fmt.Errorf("make the demo: %w", err)
	}
	a.demoWorld.Store(d)
	return nil
}

// issue makes brands, products and batches.
func (d *demo) issue(ctx context.Context) error {
	liquor, err := d.brand(ctx, "云岭酒业 Yunling Distillery")
	if err != nil {
		return err
	}
	medicine, err := d.brand(ctx, "康泽制药 Kangze Pharma")
	if err != nil {
		return err
	}
	wants := []struct {
		into    *batch.Batch
		product batch.Product
		gtin    string
		spec    batch.BatchSpec
	}{
		{&d.liquor, batch.Product{BrandID: liquor, Name: "云岭原浆 53° 500 ml", Help: "400-820-0001"}, "6901234567892",
			batch.BatchSpec{No: "YL-2026-0917", RotateEvery: time.Hour, ProductionDate: "2026-09-17"}},
		{&d.spirit, batch.Product{BrandID: liquor, Name: "云岭小坛 42° 250 ml", Help: "400-820-0001"}, "6901234567908",
			batch.BatchSpec{No: "YX-2026-1002", ProductionDate: "2026-10-02"}},
		{&d.pills, batch.Product{BrandID: medicine, Name: "阿莫西林胶囊 Amoxicillin 0.25 g × 24", Help: "help@kangze.example"}, "6912345678902",
			batch.BatchSpec{No: "KZ261105", InnerCode: true, ProductionDate: "2026-11-05"}},
		{&d.ticket, batch.Product{BrandID: liquor, Name: "云岭酒证 Certificate of ownership", Help: "400-820-0001"}, "",
			batch.BatchSpec{No: "CERT-1", RotateEvery: time.Hour, Mark: batch.Display}},
	}
	for _, w := range wants {
		if *w.into, err = d.batch(ctx, w.product, w.gtin, w.spec); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) brand(ctx context.Context, name string) (ids.BrandID, error) {
	b, _, err := d.app.Batches.CreateBrand(ctx, demoCommand("brand/"+name), name)
	return b.ID, err
}

func (d *demo) batch(ctx context.Context, p batch.Product, gtin string, spec batch.BatchSpec) (batch.Batch, error) {
	p, _, err := d.app.Batches.CreateProduct(ctx, demoCommand("product/"+p.Name), p, gtin)
	if err != nil {
		return batch.Batch{}, err
	}
	spec.ProductID, spec.Quantity = p.ID, demoQuantity
	b, _, err := d.app.Batches.CreateBatch(ctx, demoCommand("batch/"+spec.No), spec)
	if err != nil {
		return b, err
	}
	_, err = d.app.Batches.Claim(ctx, demoCommand("claim/"+spec.No), b.ID, demoQuantity, "demo line")
	return b, err
}

// live brings the codes into every state, and scans some. Batches with a history were put in
// force by it.
func (d *demo) live(ctx context.Context) error {
	for _, b := range []*batch.Batch{&d.spirit, &d.ticket} {
		if err := d.move(ctx, b, 1, demoQuantity-1, gs1.Active, "packed", ""); err != nil {
			return err
		}
	}
	sold := d.app.clock.Now().Add(-26 * time.Hour).Truncate(time.Hour)
	steps := []struct {
		no     int64
		to     gs1.Disposition
		reason string
		place  string
	}{
		{noSold, gs1.RetailSold, "sold over the counter", "上海 徐汇 Shanghai"},
		{noStolen, gs1.Stolen, "pallet missing after transport", ""},
		{noRecalled, gs1.Recalled, "cap seal faulty", ""},
		{noVoid, gs1.Void, "found outside its region", ""},
		{noExpired, gs1.Expired, "past its shelf life", ""},
	}
	for _, s := range steps {
		if err := d.moveAt(ctx, &d.liquor, s.no, s.no, s.to, s.reason, s.place, sold); err != nil {
			return err
		}
	}
	if _, _, err := d.app.Batches.Reissue(ctx, demoCommand("reissue"), d.code(&d.liquor, noReissued), "label replaced"); err != nil {
		return err
	}
	return d.scanOnce(ctx, noAgain)
}

func (d *demo) move(ctx context.Context, b *batch.Batch, from, to int64, state gs1.Disposition, reason, place string) error {
	return d.moveAt(ctx, b, from, to, state, reason, place, time.Time{})
}

func (d *demo) moveAt(ctx context.Context, b *batch.Batch, from, to int64, state gs1.Disposition, reason, place string, at time.Time) error {
	step := fmt.Sprintf("state/%s/%d-%d/%s", b.No, from, to, state)
	if state != gs1.RetailSold {
		at = time.Time{}
	}
	_, _, err := d.app.Batches.ChangeState(ctx, demoCommand(step), batch.StateSpec{
		Select: batch.Selection{BatchID: b.ID, From: from, To: to}, To: state.String(), Reason: reason, At: at, Place: place,
	})
	return err
}

// scanOnce scans a code, unless it was scanned before.
func (d *demo) scanOnce(ctx context.Context, no int64) error {
	code, err := codebook.ParseCode(d.code(&d.liquor, no))
	if err != nil {
		return err
	}
	var answer verify.Answer
	if err := d.app.Verify.Verify(ctx, &verify.Query{Code: code}, &answer); err != nil || answer.Seen.Count > 0 {
		return err
	}
	return d.app.Verify.Verify(ctx, &verify.Query{Code: code, Source: verify.FromPage, Count: true}, &answer)
}

func (d *demo) code(b *batch.Batch, no int64) string { return d.app.Batches.Code(b, no).String() }

// cards lists one code for every verdict that can arise.
func (d *demo) cards(ctx context.Context, lang string) ([]site.DemoCard, error) {
	url := d.app.URL + "/"
	of := func(verdict verify.Verdict, b *batch.Batch, no int64) site.DemoCard {
		return site.DemoCard{Verdict: verdict.String(), URL: url + d.code(b, no)}
	}
	stale, err := d.firstLink(noReissued)
	if err != nil {
		return nil, err
	}
	display, err := d.app.Batches.Link(ctx, d.code(&d.ticket, noFresh))
	if err != nil {
		return nil, err
	}
	link := gs1.ItemID("06901234567892", "", d.code(&d.liquor, noFresh+20))
	inner, err := d.app.keys.InnerCode(d.pills.InnerKeyID, d.pills.Serial(noFresh))
	if err != nil {
		return nil, err
	}
	words := func(zh, en string) string {
		if strings.HasPrefix(lang, "zh") {
			return zh
		}
		return en
	}
	scratch := of(verify.Authentic, &d.pills, noFresh)
	scratch.Title = words("带刮码的药品", "Medicine with a scratch code")
	scratch.Text = words("刮开后的验证码：", "Under the scratch layer: ") + inner.String()
	story := of(verify.AuthenticAgain, &d.liquor, noStory)
	story.Title = words("全程记录", "From the still to the shop")
	story.Text = words("扫码后点“查看完整记录”：原料、装箱、运输温度、销售。", "Scan it and follow “See where it has been”: made, packed, carried, sold.")
	return []site.DemoCard{
		story,
		of(verify.Authentic, &d.liquor, noFresh),
		of(verify.AuthenticAgain, &d.liquor, noAgain),
		of(verify.Sold, &d.liquor, noSold),
		of(verify.Inactive, &d.liquor, noInactive),
		of(verify.Suspicious, &d.liquor, noStolen),
		of(verify.Recalled, &d.liquor, noRecalled),
		of(verify.Void, &d.liquor, noVoid),
		of(verify.Expired, &d.liquor, noExpired),
		{Verdict: verify.Superseded.String(), URL: stale},
		{Verdict: verify.Unknown.String(), URL: url + d.unissued()},
		scratch,
		{Verdict: verify.Authentic.String(), URL: display.URL,
			Title: words("显示屏动态码", "Screen code, changes hourly"),
			Text:  words("链接每小时更换，截图会过期。", "The link changes every hour: a screenshot goes stale.")},
		{Verdict: verify.Authentic.String(), URL: d.app.URL + link.Path(),
			Title: words("GS1 数字链接", "GS1 Digital Link"),
			Text:  words("零售扫描器也能读的同一个码。", "The same code as a retailer's scanner reads it.")},
	}, nil
}

// firstLink is the token link of an item's first version.
func (d *demo) firstLink(no int64) (string, error) {
	b := &d.liquor
	epoch := codebook.Epoch(d.app.clock.Now(), b.CreatedAt, b.RotateEvery)
	token, err := d.app.keys.Token(b.Serial(no), 1, uint32(b.RotateEvery/time.Second), epoch)
	return d.app.URL + "/" + d.code(b, no) + "/" + token.String(), err
}

// unissued is the code of a serial that no one can have issued.
func (d *demo) unissued() string { return d.app.keys.items.Code(ids.SerialCount - 1).String() }

// getDemo answers GET /demo.
func (a *App) getDemo(w http.ResponseWriter, r *http.Request) error {
	d := a.demoWorld.Load()
	if d == nil {
		return httpx.ErrNoRoute
	}
	lang := httpx.Language(r)
	cards, err := d.cards(r.Context(), lang)
	if err != nil {
		return err
	}
	var page bytes.Buffer
	if err := a.site.RenderDemo(&page, site.DemoPage{Lang: lang, Cards: cards}); err != nil {
		return err
	}
	return httpx.HTML(w, http.StatusOK, a.site.DeskCSP(), page.Bytes())
}
