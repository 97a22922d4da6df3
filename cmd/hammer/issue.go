package main

import (
	"context"
	"fmt"
	"net/http"

	"github.com/chopmark/chopmark/test/harness"
)

// claimMax is how many codes one answer brings.
const claimMax = 10_000

// issue makes a batch under a brand and a product of its own, moves it to a state, if
// any, and claims all of it.
func issue(ctx context.Context, s *harness.Server, no string, quantity int, state string) ([]string, error) {
	var made struct {
		Brand   int32    `json:"brand_id"`
		Product int32    `json:"product_id"`
		Batch   string   `json:"batch_id"`
		Codes   []string `json:"codes"`
	}
	post := func(path string, body map[string]any) error {
		return s.Must(ctx, http.MethodPost, path, body, &made)
	}
	if err := post("/api/v1/brands", map[string]any{"name": "Load " + no}); err != nil {
		return nil, err
	}
	if err := post("/api/v1/products", map[string]any{"brand_id": made.Brand, "name": "Load"}); err != nil {
		return nil, err
	}
	if err := post("/api/v1/batches", map[string]any{"product_id": made.Product, "batch_no": no, "quantity": quantity, "rotate_every": "1h"}); err != nil {
		return nil, err
	}
	if state != "" {
		if err := post("/api/v1/codes/state", map[string]any{"select": map[string]any{"batch_id": made.Batch}, "to": state, "reason": "packed"}); err != nil {
			return nil, err
		}
	}
	all := make([]string, 0, quantity)
	for len(all) < quantity {
		made.Codes = nil
		if err := post("/api/v1/batches/"+made.Batch+"/claims", map[string]any{"quantity": min(claimMax, quantity-len(all)), "claimant": "load"}); err != nil {
			return nil, err
		}
		if len(made.Codes) == 0 {
			return nil, fmt.Errorf("a claim after %d of %d codes brought none", len(all), quantity)
		}
		all = append(all, made.Codes...)
	}
	return all, nil
}
