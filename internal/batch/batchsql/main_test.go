package batchsql_test

import (
	"testing"

	"github.com/chopmark/chopmark/test/random"
)

func TestMain(m *testing.M) { random.Run(m, 25) }
