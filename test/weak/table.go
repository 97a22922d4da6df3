package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
)

const tableHead = `| link | what | protocol | median | slowest | RTTs | bytes up | bytes down | of HTTP/1.1 + TLS | goal |
|---|---|---|---|---|---|---|---|---|---|
`

// visits measures every kind in turn, so that whatever else the machine does meets all of
// them, and prints the medians.
func (b *bench) visits(ctx context.Context, runs int) error {
	if b.cmd.ProcessState != nil {
		return errors.New("the client has ended")
	}
	v, err := b.tell(ask{Do: "probe", Path: net.JoinHostPort(serverHost, echoPort)})
	if err != nil {
		return err
	}
	if err := b.warm(); err != nil {
		return err
	}
	all := map[kind][]visit{}
	early := ""
	for range runs {
		for _, page := range []bool{false, true} {
			for _, protocol := range protocols() {
				k := kind{protocol, page}
				got, code, err := b.visit(k)
				if err != nil {
					return err
				}
				all[k] = append(all[k], got)
				if protocol == http3Return {
					early = code
				}
			}
		}
	}
	b.print(*v.Probe, all)
	return b.counted(ctx, early)
}

// warm makes the first visits of those that come back.
func (b *bench) warm() error {
	for _, protocol := range []string{http1Return, http3Open} {
		if _, err := b.tell(ask{Do: protocol, Path: b.path(kind{protocol, false})}); err != nil {
			return err
		}
	}
	_, err := b.tell(ask{Do: http3Return, Path: b.path(kind{http3Return, false})})
	return err
}

// kind is a row of the table.
type kind struct {
	protocol string
	page     bool
}

func (b *bench) path(k kind) string {
	code := b.codes[0]
	b.codes = b.codes[1:]
	if k.page {
		return "/" + code
	}
	return "/api/v1/codes/" + code + "/verify"
}

// visit measures one, and holds its answer to what it must be.
func (b *bench) visit(k kind) (visit, string, error) {
	code, path := b.codes[0], b.path(k)
	v, err := b.tell(ask{Do: k.protocol, Path: path, Page: k.page})
	if err != nil {
		return v, "", err
	}
	isEarly := k.protocol == http3Return
	switch {
	case b.loss > 0 || b.delay == 0: // what is lost comes again after the handshake; without a delay that may be done first
	case v.Early != isEarly && k.protocol != http3Open:
		err = fmt.Errorf("%s: early data is %v", k.protocol, v.Early)
	case k.page:
	case !strings.Contains(v.Body, `"verdict":"authentic"`):
		err = fmt.Errorf("%s: %s", k.protocol, v.Body)
	case isEarly != strings.Contains(v.Body, `"counted":false`) || isEarly == strings.Contains(v.Body, "scanned.first"):
		err = fmt.Errorf("%s: %s", k.protocol, v.Body)
	}
	return v, code, err
}

// counted holds that the scan which went in early data was counted after all, once.
func (b *bench) counted(ctx context.Context, code string) error {
	if b.loss > 0 {
		return nil // its client may have left before the handshake was repeated
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, b.server.URL+"/api/v1/codes/"+code+"/verify", http.NoBody)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && !strings.Contains(string(body), `"scan_count":2,`) { // that one, and this
		err = fmt.Errorf("a scan in early data was not counted once: %s", body)
	}
	return err
}

// goals are the most that a protocol may take, as a part of HTTP/1.1 with TLS; 0 = none.
func (b *bench) goal(k kind) float64 {
	switch {
	case b.loss > 0 || b.rate == 0:
		return 0 // shown beside
	case k.protocol == http3First:
		return 1.15
	case k.protocol == http3Return && k.page && b.name == "2G":
		return 0.8
	case k.protocol == http3Return:
		return 0.6
	}
	return 0
}

func (b *bench) print(p probed, all map[kind][]visit) {
	fmt.Printf("| **%s** | asked: RTT %v, %s, %.1f %% loss; measured: RTT %v, %s, %.1f %% lost there and back | | | | | | | | |\n", b.name,
		2*b.delay, rate(b.rate), 100*b.loss, p.RTT.Round(time.Millisecond), rate(p.Rate), 100*p.Loss)
	fmt.Printf("| %s | whole answers: JSON %d bytes, page %d bytes as sent | | | | | | | | |\n", b.name,
		median(all[kind{http1, false}], size), median(all[kind{http1, true}], size))
	for _, page := range []bool{false, true} {
		base := median(all[kind{http1, page}], took)
		for _, protocol := range protocols() {
			k := kind{protocol, page}
			v := all[k]
			m := median(v, took)
			rtts, part, goal := "–", float64(m)/float64(base), ""
			if b.delay > 0 {
				rtts = fmt.Sprintf("%.1f", float64(m)/float64(2*b.delay))
			}
			if most := b.goal(k); most > 0 {
				goal = fmt.Sprintf("≤ %.2f", most)
				if part > most {
					goal += " **missed**"
				}
			}
			what := map[bool]string{false: "JSON", true: "page"}[page]
			slowest := slices.MaxFunc(v, func(a, b visit) int { return int(a.Took - b.Took) })
			fmt.Printf("| %s | %s | %s | %v | %v | %s | %d | %d | %.2f | %s |\n", b.name, what, protocol,
				time.Duration(m).Round(time.Millisecond), slowest.Took.Round(time.Millisecond), rtts,
				median(v, func(v visit) int64 { return v.up }), median(v, func(v visit) int64 { return v.down }), part, goal)
		}
	}
}

func took(v visit) int64 { return int64(v.Took) }
func size(v visit) int64 { return int64(v.Size) }

func median(visits []visit, of func(visit) int64) int64 {
	values := make([]int64, len(visits))
	for i := range visits {
		values[i] = of(visits[i])
	}
	slices.Sort(values)
	return values[len(values)/2]
}

func rate(bits float64) string {
	if bits == 0 || bits > 5e6 {
		return "no bound"
	}
	return fmt.Sprintf("%.1f kbit/s", bits/1000)
}
