package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/chopmark/chopmark/internal/platform/fault"
)

// issueCmd issues codes and writes them to a file.
type issueCmd struct {
	placeFlags
	Quantity int64  `required:"" placeholder:"N" help:"How many codes."`
	Out      string `required:"" placeholder:"FILE" help:"Where to write them (a zip with one CSV)."`
	Product  int32  `placeholder:"ID" help:"Of which product; else one called Sample."`
	BatchNo  string `name:"batch-no" placeholder:"NO" help:"The batch's number; else by date and time."`
	Rotate   string `default:"off" placeholder:"1h" help:"How often links change: off, 1h, 4h, 24h, …"`
	Format   string `default:"csv" enum:"csv,ndjson,labels-pdf" help:"csv, ndjson or labels-pdf."`
}

// Run issues and writes.
func (i *issueCmd) Run(ctx context.Context) error {
	if i.Quantity < 1 {
		return fault.Field("usage", "quantity", "must be at least 1")
	}
	if _, err := os.Stat(i.Out); err == nil {
		return fmt.Errorf("%s exists; name another file", i.Out)
	}
	if i.BatchNo == "" {
		i.BatchNo = "CLI-" + time.Now().UTC().Format("20060102-150405.000")
	}
	return i.with(ctx, func(c *client) error {
		product, err := i.product(ctx, c)
		if err != nil {
			return err
		}
		var batch struct {
			BatchID string `json:"batch_id"`
		}
		err = c.call(ctx, http.MethodPost, "/api/v1/batches", map[string]any{
			"product_id": product, "batch_no": i.BatchNo, "quantity": i.Quantity, "rotate_every": i.Rotate,
		}, &batch)
		if err != nil {
			return err
		}
		if err := export(ctx, c, batch.BatchID, map[string]any{"format": i.Format, "unclaimed": true}, i.Out); err != nil {
			return err
		}
		fmt.Printf("%d codes of batch %s (%s) in %s; they are claimed and not active yet\n", i.Quantity, i.BatchNo, batch.BatchID, i.Out)
		return nil
	})
}

// product finds the product, or makes the one called Sample.
func (i *issueCmd) product(ctx context.Context, c *client) (int32, error) {
	if i.Product != 0 {
		return i.Product, nil
	}
	var list struct {
		Products []struct {
			ProductID int32  `json:"product_id"`
			Name      string `json:"name"`
		} `json:"products"`
	}
	if err := c.call(ctx, http.MethodGet, "/api/v1/products?limit=1000", nil, &list); err != nil {
		return 0, err
	}
	for _, p := range list.Products {
		if p.Name == sample {
			return p.ProductID, nil
		}
	}
	var brand struct {
		BrandID int32 `json:"brand_id"`
	}
	if err := c.call(ctx, http.MethodPost, "/api/v1/brands", map[string]any{"name": sample}, &brand); err != nil {
		return 0, err
	}
	var product struct {
		ProductID int32 `json:"product_id"`
	}
	err := c.call(ctx, http.MethodPost, "/api/v1/products", map[string]any{"brand_id": brand.BrandID, "name": sample}, &product)
	return product.ProductID, err
}

const sample = "Sample"

// exportCmd writes a batch's codes to a file.
type exportCmd struct {
	placeFlags
	Batch     string `required:"" placeholder:"ID" help:"The batch (bat_…)."`
	Out       string `required:"" placeholder:"FILE" help:"Where to write."`
	From      int64  `placeholder:"NO" help:"First number; else 1."`
	To        int64  `placeholder:"NO" help:"Last number; else the batch's last."`
	Format    string `default:"csv" enum:"csv,ndjson,labels-pdf" help:"csv, ndjson or labels-pdf."`
	Layout    string `default:"a4" enum:"a4,roll-50x30" help:"Of labels: a4 or roll-50x30."`
	Unclaimed bool   `help:"Claim what is still in the pool."`
}

// Run exports.
func (e *exportCmd) Run(ctx context.Context) error {
	return e.with(ctx, func(c *client) error {
		body := map[string]any{"format": e.Format, "layout": e.Layout, "unclaimed": e.Unclaimed}
		if e.From != 0 {
			body["from_no"] = e.From
		}
		if e.To != 0 {
			body["to_no"] = e.To
		}
		return export(ctx, c, e.Batch, body, e.Out)
	})
}

func export(ctx context.Context, c *client, batch string, body map[string]any, out string) error {
	var task taskView
	if err := c.call(ctx, http.MethodPost, "/api/v1/batches/"+url.PathEscape(batch)+"/export", body, &task); err != nil {
		return err
	}
	done, err := c.wait(ctx, task.TaskID, newProgress())
	if err != nil {
		return err
	}
	return c.download(ctx, done.DownloadURL, out)
}
