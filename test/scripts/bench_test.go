package scripts

import (
	"fmt"
	"testing"
	"time"

	"github.com/chopmark/chopmark/test/harness"
	"github.com/chopmark/chopmark/test/servers"
)

// BenchmarkVisible recalls items, one after another, at a process on MariaDB and Redis,
// and looks when four edges say so.
func BenchmarkVisible(b *testing.B) {
	r := newRolesOn(b, []string{"--sql", servers.MariaDB(b)}, []string{"--redis", servers.Redis(b).URL()})
	brand := r.post("/api/v1/brands", map[string]any{"name": "云岭酒业"})["brand_id"]
	product := r.post("/api/v1/products", map[string]any{"brand_id": brand, "name": "云岭原浆"})["product_id"]
	var codes []string
	for i := 0; len(codes) < b.N; i++ {
		codes = append(codes, r.issued(fmt.Sprint("lot ", i), product)...)
	}
	var edges []*harness.Server
	for i := range 4 {
		edges = append(edges, r.startEdge(fmt.Sprint("edge-", 1+i)))
	}
	last := codes[len(codes)-1]
	r.until(edges[0], last, "authentic")
	for _, e := range edges {
		r.until(e, last, "authentic_again")
	}
	b.ResetTimer()
	took := r.visible(edges, codes[:b.N])
	b.StopTimer()
	for name, at := range map[string]int{"p50-ms": b.N / 2, "p99-ms": b.N * 99 / 100, "worst-ms": b.N - 1} {
		b.ReportMetric(float64(took[at].Microseconds())/float64(time.Millisecond/time.Microsecond), name)
	}
	b.ReportMetric(0, "ns/op")
}
