package limit_test

import (
	"testing"
	"time"

	"github.com/chopmark/chopmark/internal/platform/limit"
	"github.com/chopmark/chopmark/internal/platform/limit/limittest"
)

// memory is the engine in memory under a clock that goes on with each draw.
type memory struct {
	*limit.Memory
	now int64
}

// Add implements limittest.Engine.
func (m *memory) Add(k limit.Key, r limit.Rate, n int64) (time.Duration, int64, error) {
	m.now += 700_000
	return m.Memory.Add(k, r, n, m.now), m.now, nil
}

func TestSuite(t *testing.T) {
	t.Parallel()
	limittest.Accounts(t, &memory{limit.NewMemory(100_000), 1 << 60})
}
