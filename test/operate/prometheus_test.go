package operate

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/chopmark/chopmark/test/harness"
)

// rules is a file of rules, as far as it is looked at here.
type rules struct {
	Groups []group `yaml:"groups"`
}

type group struct {
	Name  string `yaml:"name"`
	Rules []rule `yaml:"rules"`
}

type rule struct {
	Alert       string            `yaml:"alert,omitempty"`
	Record      string            `yaml:"record,omitempty"`
	Expr        string            `yaml:"expr"`
	Annotations map[string]string `yaml:"annotations,omitempty"`
}

var ruleFiles = []string{"alerts.yml", "alerts-cluster.yml", "objectives.yml"}

func readRules(t *testing.T) (all rules) {
	t.Helper()
	for _, name := range ruleFiles {
		var r rules
		if err := yaml.Unmarshal([]byte(read(t, deploy, "prometheus", name)), &r); err != nil {
			t.Fatal(err)
		}
		all.Groups = append(all.Groups, r.Groups...)
	}
	return all
}

// expression is one expression and where it stands.
type expression struct{ at, text string }

func expressions(t *testing.T) (all []expression) {
	t.Helper()
	for _, g := range readRules(t).Groups {
		for _, r := range g.Rules {
			all = append(all, expression{g.Name + " " + r.Alert + r.Record, r.Expr})
		}
	}
	boards, err := filepath.Glob(filepath.Join(deploy, "grafana", "dashboards", "*.json"))
	if err != nil || len(boards) == 0 {
		t.Fatalf("no dashboards: %v", err)
	}
	for _, name := range boards {
		var board struct {
			Panels []struct {
				Title   string `json:"title"`
				Targets []struct {
					Expr string `json:"expr"`
				} `json:"targets"`
			} `json:"panels"`
		}
		if err := json.Unmarshal([]byte(read(t, name)), &board); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, p := range board.Panels {
			if len(p.Targets) == 0 {
				t.Errorf("%s: panel %q shows nothing", name, p.Title)
			}
			for _, target := range p.Targets {
				all = append(all, expression{filepath.Base(name) + " " + p.Title, target.Expr})
			}
		}
	}
	return all
}

// TestRules lets promtool read the rules and the configuration, and run the tests of
// the alerts.
func TestRules(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		append([]string{"check", "rules"}, ruleFiles...), {"check", "config", "prometheus.yml"},
		{"test", "rules", "tests.yml"}, {"test", "rules", "objectives-tests.yml"},
	} {
		if out, err := promtool(t, args...); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// TestAlertsAreTested: each alert has a case in which it fires and one in which it does
// not, and a runbook.
func TestAlertsAreTested(t *testing.T) {
	t.Parallel()
	fired, silent := map[string]bool{}, map[string]bool{}
	for _, name := range []string{"tests.yml", "objectives-tests.yml"} {
		var f struct {
			Tests []struct {
				Alerts []struct {
					Name string `yaml:"alertname"`
					Exp  []any  `yaml:"exp_alerts"`
				} `yaml:"alert_rule_test"`
			} `yaml:"tests"`
		}
		if err := yaml.Unmarshal([]byte(read(t, deploy, "prometheus", name)), &f); err != nil {
			t.Fatal(err)
		}
		for _, one := range f.Tests {
			for _, a := range one.Alerts {
				if len(a.Exp) > 0 {
					fired[a.Name] = true
				} else {
					silent[a.Name] = true
				}
			}
		}
	}
	for _, g := range readRules(t).Groups {
		for _, r := range g.Rules {
			if r.Alert == "" {
				continue
			}
			if !fired[r.Alert] || !silent[r.Alert] {
				t.Errorf("%s: fires in a test: %v, is silent in one: %v", r.Alert, fired[r.Alert], silent[r.Alert])
			}
			if _, err := os.Stat(filepath.Join("..", "..", r.Annotations["runbook"])); err != nil || r.Annotations["runbook"] == "" {
				t.Errorf("%s: runbook %q: %v", r.Alert, r.Annotations["runbook"], err)
			}
		}
	}
}

// TestDashboards lets promtool parse every expression of every panel.
func TestDashboards(t *testing.T) {
	t.Parallel()
	check := func(all []expression) (string, error) {
		panels := group{Name: "panels"}
		for i, e := range all {
			panels.Rules = append(panels.Rules, rule{Record: fmt.Sprintf("panel:%d", i), Expr: e.text})
		}
		raw, err := yaml.Marshal(rules{[]group{panels}})
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "panels.yml")
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		return promtool(t, "check", "rules", path)
	}
	all := expressions(t)
	if out, err := check(all); err != nil {
		t.Errorf("promtool: %v\n%s", err, out)
	}
	if out, err := check(append(all, expression{"planted", "sum by (x) rate(y[5m])"})); err == nil {
		t.Errorf("a wrong expression was accepted: %s", out)
	}
}

// elsewhere are metrics that the embedded program does not show, and where they come
// from.
var elsewhere = map[string]string{
	"up":                         "Prometheus itself",
	"redis_connections_active":   "a process with --redis",
	"chopmark_kafka_lag_records": "a process with --kafka that consumes",
	"chopmark_feed_age_seconds":  "a process with more roles beside it",
}

// TestMetricsExist holds every name in rules and dashboards to what the real program
// shows.
func TestMetricsExist(t *testing.T) {
	t.Parallel()
	shown := shownMetrics(t)
	for _, g := range readRules(t).Groups {
		for _, r := range g.Rules {
			if r.Record != "" {
				shown[r.Record] = true
			}
		}
	}
	used := map[string]bool{}
	for _, e := range expressions(t) {
		for _, name := range metricsOf(e.text) {
			used[name] = true
			if !shown[name] && elsewhere[name] == "" {
				t.Errorf("%s: nothing shows %s", e.at, name)
			}
		}
	}
	for name := range elsewhere {
		if !used[name] {
			t.Errorf("%s is excused and not used", name)
		}
	}
	if len(used) < 25 {
		t.Errorf("only %d names were found: %v", len(used), slices.Sorted(maps.Keys(used)))
	}
	if planted := metricsOf(`sum by (le) (rate(qrcode_scans_total{a="b"}[5m]))`); !slices.Equal(planted, []string{"qrcode_scans_total"}) || shown[planted[0]] {
		t.Errorf("a planted wrong name was not seen: %v", planted)
	}
}

func shownMetrics(t *testing.T) map[string]bool {
	t.Helper()
	bin, err := harness.Build(t.Context(), t.TempDir(), "github.com/chopmark/chopmark/cmd/chopmark")
	if err != nil {
		t.Fatal(err)
	}
	s, err := harness.Start(t.Context(), bin, t.TempDir(), "--config", filepath.Join(deploy, "systemd", "chopmark.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Kill()
	var brand struct {
		ID int `json:"brand_id"`
	}
	var product struct {
		ID int `json:"product_id"`
	}
	ask := func(path string, body, into any) {
		t.Helper()
		if err := s.Must(t.Context(), http.MethodPost, path, body, into); err != nil {
			t.Fatal(err)
		}
	}
	ask("/api/v1/brands", map[string]any{"name": "B"}, &brand)
	ask("/api/v1/products", map[string]any{"brand_id": brand.ID, "name": "P"}, &product)
	ask("/api/v1/codes/generate", map[string]any{"brand_id": brand.ID, "product_id": product.ID, "batch_no": "1", "quantity": 1}, nil)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/metrics", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	// a scan of a code that is nobody's, for the verdicts
	if resp, err := http.Get(s.URL + "/api/v1/codes/123456789012345678/verify"); err != nil {
		t.Fatal(err)
	} else {
		_ = resp.Body.Close()
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^([a-z_]+)[{ ]`).FindAllStringSubmatch(string(raw), -1) {
		shown[m[1]] = true
	}
	return shown
}

var (
	quotedText = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)
	notMetrics = regexp.MustCompile(`\{[^}]*\}|\[[^\]]*\]|\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)`)
	names      = regexp.MustCompile(`[a-zA-Z_:][a-zA-Z0-9_:]*\s*\(?`)
)

// metricsOf gives the metrics that an expression names: words that are no function, no
// label and no operator.
func metricsOf(expr string) (all []string) {
	expr = notMetrics.ReplaceAllString(quotedText.ReplaceAllString(expr, ""), " ")
	for _, word := range names.FindAllString(expr, -1) {
		word = strings.TrimSpace(word)
		if strings.HasSuffix(word, "(") || slices.Contains([]string{"and", "or", "unless", "bool"}, word) {
			continue
		}
		all = append(all, word)
	}
	return all
}
