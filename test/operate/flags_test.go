package operate

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/chopmark/chopmark/test/harness"
)

// TestFlagsExist holds the chart, compose, the unit and the Dockerfile to the flags that
// the program has: a wrong one would end it at once, a wrong variable would do nothing.
func TestFlagsExist(t *testing.T) {
	t.Parallel()
	bin, err := harness.Build(t.Context(), t.TempDir(), "github.com/chopmark/chopmark/cmd/chopmark")
	if err != nil {
		t.Fatal(err)
	}
	help, err := exec.CommandContext(t.Context(), bin, "serve", "--help").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, help)
	}
	known := map[string]bool{"admin-key": true} // of the environment only
	for _, m := range regexp.MustCompile(`--([a-z-]+)`).FindAllStringSubmatch(string(help), -1) {
		known[m[1]] = true
	}
	variable := regexp.MustCompile(`CHOPMARK_([A-Z_]+)`)
	flag := regexp.MustCompile(`(?m)^(?: *- |ExecStart=\S+ serve |.* )--([a-z-]+)[= ]`)
	names := func(at *regexp.Regexp, text string) (all []string) {
		for _, m := range at.FindAllStringSubmatch(text, -1) {
			all = append(all, strings.ToLower(strings.ReplaceAll(m[1], "_", "-")))
		}
		return all
	}
	unit, _, _ := strings.Cut(read(t, deploy, "systemd", "chopmark.service"), "\nEnvironmentFile")
	pod := read(t, deploy, "helm", "chopmark", "templates", "_helpers.tpl")
	for at, used := range map[string][]string{
		"the chart's arguments": names(flag, pod), "the chart's environment": names(variable, pod),
		"the unit": names(flag, unit), "compose": names(variable, read(t, deploy, "compose.yaml")),
		"the image": names(variable, read(t, deploy, "Dockerfile")),
	} {
		if len(used) == 0 {
			t.Errorf("%s: no flag was found, so nothing was checked", at)
		}
		for _, name := range used {
			if !known[name] {
				t.Errorf("%s: there is no --%s", at, name)
			}
		}
	}
	if planted := names(flag, "        - --liste=0.0.0.0:8080\n"); len(planted) != 1 || known[planted[0]] {
		t.Errorf("a planted wrong flag was not seen: %v", planted)
	}
}
