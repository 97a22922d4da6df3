package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/chopmark/chopmark/internal/platform/fault"
)

// lineCmd is what a packing line does, for those who script one or set one right by hand.
type lineCmd struct {
	Open  lineOpenCmd  `cmd:"" help:"Open a case or a pallet; prints its SSCC."`
	Add   lineAddCmd   `cmd:"" help:"Put items or closed cases into it: all or none."`
	Close lineCloseCmd `cmd:"" help:"Close it, which is one EPCIS event; prints the event's identifier."`
	Show  lineShowCmd  `cmd:"" help:"Print it as JSON, with what is in it."`
}

// containerFlags name a container.
type containerFlags struct {
	placeFlags
	Brand int32  `placeholder:"ID" help:"Whose it is; needed when several of your brands have used the SSCC."`
	EPC   string `arg:"" name:"container" help:"Its SSCC: 18 digits, a URN or a Digital Link."`
}

// container is what the API says of one.
type container struct {
	SSCC     string  `json:"sscc"`
	State    string  `json:"state"`
	Changed  int     `json:"changed"`
	Children int     `json:"children"`
	EventID  *string `json:"event_id"`
}

func (f *containerFlags) call(ctx context.Context, method, verb string, body, data any) error {
	return f.with(ctx, func(c *client) error {
		c.brand = f.Brand
		return c.call(ctx, method, "/api/v1/containers/"+url.PathEscape(f.EPC)+"/"+verb, body, data)
	})
}

type lineOpenCmd struct {
	placeFlags
	Brand     int32  `required:"" placeholder:"ID" help:"Whose it is."`
	Kind      string `default:"case" enum:"case,pallet" help:"case or pallet."`
	EPC       string `name:"epc" xor:"name" required:"" placeholder:"SSCC" help:"Its SSCC."`
	Prefix    string `name:"gs1-company-prefix" xor:"name" required:"" placeholder:"DIGITS" help:"Take the next SSCC of this company instead."`
	Capacity  int    `placeholder:"N" help:"How many children it holds at most."`
	Location  string `name:"biz-location" placeholder:"URI" help:"Where the event is to say that it is."`
	ReadPoint string `name:"read-point" placeholder:"URI" help:"Where the event is to say that it was read."`
	Once      string `name:"idempotency-key" placeholder:"NAME" help:"Of this container: repeated under it, the answer is the same one and nothing else is opened."`
}

// Run opens a container.
func (l *lineOpenCmd) Run(ctx context.Context) error {
	return l.with(ctx, func(c *client) error {
		c.once = l.Once
		var made container
		err := c.call(ctx, http.MethodPost, "/api/v1/containers", map[string]any{
			"brand_id": l.Brand, "kind": l.Kind, "epc": l.EPC, "gs1_company_prefix": l.Prefix, "capacity": l.Capacity, "biz_location": l.Location, "read_point": l.ReadPoint,
		}, &made)
		if err == nil {
			fmt.Println(made.SSCC)
		}
		return err
	})
}

type lineAddCmd struct {
	containerFlags
	Children []string `arg:"" name:"child" help:"Codes, SSCCs of closed cases, or EPCs of either."`
}

// Run puts children into a container.
func (l *lineAddCmd) Run(ctx context.Context) error {
	if len(l.Children) == 0 || strings.Join(l.Children, "") == "" {
		return fault.Field("usage", "child", "name what to put in")
	}
	var now container
	if err := l.call(ctx, http.MethodPost, "add", map[string]any{"children": l.Children}, &now); err != nil {
		return err
	}
	fmt.Printf("%d put in, %d are in it\n", now.Changed, now.Children)
	return nil
}

type lineCloseCmd struct{ containerFlags }

// Run closes a container.
func (l *lineCloseCmd) Run(ctx context.Context) error {
	var now container
	if err := l.call(ctx, http.MethodPost, "close", nil, &now); err != nil {
		return err
	}
	if now.EventID != nil {
		fmt.Println(*now.EventID)
	}
	return nil
}

type lineShowCmd struct{ containerFlags }

// Run prints a container.
func (l *lineShowCmd) Run(ctx context.Context) error {
	var now json.RawMessage
	if err := l.call(ctx, http.MethodGet, "packing", nil, &now); err != nil {
		return err
	}
	out := json.NewEncoder(os.Stdout)
	out.SetIndent("", "  ")
	return out.Encode(now)
}
