package deploy

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
)

const composeFile = "../../deploy/compose.yaml"

func load(t *testing.T, text []byte, profile string) (*types.Project, error) {
	t.Helper()
	path, err := filepath.Abs(composeFile)
	if err != nil {
		t.Fatal(err)
	}
	return loader.LoadWithContext(t.Context(), types.ConfigDetails{
		WorkingDir: filepath.Dir(path), ConfigFiles: []types.ConfigFile{{Filename: path, Content: text}},
		Environment: map[string]string{"SQL_PASSWORD": "p1", "REDIS_PASSWORD": "p2", "GRAFANA_PASSWORD": "p3", "CHOPMARK_ADMIN_KEY": "p4"},
	}, func(o *loader.Options) { o.Profiles = []string{profile} })
}

// TestCompose reads the file as docker compose does, for each of its two profiles.
func TestCompose(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(composeFile)
	if err != nil {
		t.Fatal(err)
	}
	for profile, want := range map[string][]string{
		"all":     {"chopmark"},
		"cluster": {"collector", "edge", "grafana", "issue", "jaeger", "kafka", "mariadb", "prometheus", "redis", "worker"},
	} {
		p, err := load(t, text, profile)
		if err != nil {
			t.Fatalf("%s: %v", profile, err)
		}
		if got := p.ServiceNames(); !slices.Equal(slices.Sorted(slices.Values(got)), want) {
			t.Errorf("%s runs %v, want %v", profile, got, want)
		}
		taken := map[string]string{}
		for name, s := range p.Services {
			for _, port := range s.Ports {
				if port.HostIP != "127.0.0.1" {
					t.Errorf("%s is published on %q", name, port.HostIP)
				}
				if other, twice := taken[port.Published]; twice {
					t.Errorf("%s and %s both want port %s", name, other, port.Published)
				}
				taken[port.Published] = name
			}
			for _, v := range s.Volumes {
				if _, err := os.Stat(v.Source); v.Type == "bind" && err != nil && !strings.HasSuffix(v.Source, "/secrets") {
					t.Errorf("%s mounts %s: %v", name, v.Source, err)
				}
			}
			if s.Image == "chopmark" && (!s.ReadOnly || s.StopGracePeriod == nil || !slices.Contains(s.CapDrop, "ALL")) {
				t.Errorf("%s may more than it needs", name)
			}
		}
	}
	planted := strings.Replace(string(text), "stop_grace_period", "stop_grace_time", 1)
	if _, err := load(t, []byte(planted), "all"); err == nil {
		t.Error("a field that compose does not know was accepted")
	}
}
