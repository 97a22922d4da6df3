package trace

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// examples gives GS1's example documents by name.
func examples(t testing.TB) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	root := filepath.Join("testdata", "gs1", "JSON")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".jsonld" {
			return err
		}
		raw, err := os.ReadFile(path)
		all[strings.TrimPrefix(path, root+string(filepath.Separator))] = raw
		return err
	})
	if err != nil || len(all) != 47 {
		t.Fatalf("%d examples, %v; want 47", len(all), err)
	}
	return all
}

func entriesOf(events []*Event) (all []*Entry) {
	for _, e := range events {
		all = append(all, &Entry{Event: e})
	}
	return all
}
