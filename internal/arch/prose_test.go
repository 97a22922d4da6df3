package arch

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Rule 6: prose that names what is not there misleads for ever, and a silenced
// linter without its reason can never be switched on again.
func proseRules(t *tree) []violation {
	tests := testNames(t)
	var found []violation
	for _, name := range t.sortedTexts(".md") {
		number := 0
		for line := range strings.Lines(t.texts[name]) {
			number++
			found = append(found, missingPaths(t, name, number, docPaths(path.Dir(name), line))...)
		}
	}
	for _, f := range t.files {
		if f.generated {
			continue
		}
		for _, group := range f.ast.Comments {
			for _, c := range group.List {
				line := t.line(c.Pos())
				found = append(found, silenced(f.path, line, c.Text)...)
				if within(f.dir, "internal/arch") {
					continue // our own prose gives examples
				}
				found = append(found, missingPaths(t, f.path, line, commentPaths(c.Text))...)
				found = append(found, missingTests(tests, f.path, line, c.Text)...)
			}
		}
	}
	for _, name := range t.sortedTexts(".ts", ".vue", ".sh") {
		number := 0
		for line := range strings.Lines(t.texts[name]) {
			number++
			found = append(found, silenced(name, number, line)...)
		}
	}
	return append(found, linterReasons(t)...)
}

const roots = `internal|cmd|docs|test|proto|deploy|web|\.ci`

var (
	quoted     = regexp.MustCompile("`([^`]+)`")
	linked     = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	bareFenced = regexp.MustCompile(`(?:^|[\s"'(=])(?:\./)?((?:` + roots + `)/[\w./{},*-]*)`)
	inComment  = regexp.MustCompile("(?:^|[\\s`\"(])((?:internal|cmd|docs)/[\\w./{},*-]+)")
	rooted     = regexp.MustCompile(`^(?:\./)?((?:` + roots + `)/[^\s:#?]*|[A-Z]+\.md)(?:[:#].*)?$`)
	numbered   = regexp.MustCompile(`^docs/adr/[0-9]{4}$`)
	schemed    = regexp.MustCompile(`^(?:[a-z][a-z0-9+.-]*:|#|/|<)`)
)

// docPaths gives the repository paths that a line of a document names: in
// backticks or a command by their first folder, and as links from the document.
func docPaths(dir, line string) []string {
	var paths []string
	for _, m := range quoted.FindAllStringSubmatch(line, -1) {
		for word := range strings.FieldsSeq(m[1]) {
			if r := rooted.FindStringSubmatch(strings.TrimRight(word, ".,;")); len(r) > 1 {
				paths = append(paths, r[1])
			}
		}
	}
	for _, m := range linked.FindAllStringSubmatch(line, -1) {
		if !schemed.MatchString(m[1]) {
			target, _, _ := strings.Cut(m[1], "#")
			paths = append(paths, path.Join(dir, target))
		}
	}
	if !strings.Contains(line, "`") {
		for _, m := range bareFenced.FindAllStringSubmatch(line, -1) {
			paths = append(paths, m[1])
		}
	}
	return paths
}

func commentPaths(comment string) []string {
	var paths []string
	for _, m := range inComment.FindAllStringSubmatch(comment, -1) {
		paths = append(paths, m[1])
	}
	return paths
}

func missingPaths(t *tree, at string, line int, paths []string) []violation {
	var found []violation
	for _, p := range paths {
		for _, one := range braces(p) {
			one = strings.TrimRight(strings.TrimSuffix(one, "/..."), "/.,;")
			if one == "" || strings.ContainsAny(one, "<>…$") || strings.Contains(one, "xxx") || exists(t, one) {
				continue
			}
			found = append(found, violation{"path-missing", at, line, one, "names " + one + ", which does not exist"})
		}
	}
	return found
}

// exists matches a path, or a pattern with at least one match. What lies in a
// folder that we do not read is taken on trust.
func exists(t *tree, name string) bool {
	if t.paths[name] || slices.ContainsFunc(strings.Split(name, "/"), func(s string) bool { return skippedDirs[s] }) {
		return true
	}
	if numbered.MatchString(name) {
		name += "-*" // docs/adr/0003 is short for docs/adr/0003-one-key-for-life.md
	}
	if !strings.Contains(name, "*") {
		return false
	}
	for p := range t.paths {
		if ok, err := path.Match(name, p); ok && err == nil {
			return true
		}
	}
	return false
}

// braces spells out `a/{b,c}`.
func braces(p string) []string {
	open := strings.Index(p, "{")
	shut := strings.Index(p, "}")
	if open < 0 || shut < open {
		return []string{p}
	}
	var all []string
	for part := range strings.SplitSeq(p[open+1:shut], ",") {
		all = append(all, braces(p[:open]+strings.TrimSpace(part)+p[shut+1:])...)
	}
	return all
}

var testName = regexp.MustCompile(`\b(?:Test|Fuzz|Benchmark)[A-Z]\w*`)

// testNames are all test functions, and every function of a suite: that is where a
// contract's musts are pinned.
func testNames(t *tree) map[string]bool {
	names := map[string]bool{}
	for _, f := range t.files {
		for name := range f.ast.Scope.Objects {
			names[name] = true
		}
	}
	return names
}

func missingTests(known map[string]bool, at string, line int, comment string) []violation {
	var found []violation
	for _, name := range testName.FindAllString(comment, -1) {
		if !known[name] {
			found = append(found, violation{"test-missing", at, line, name, "names " + name + ", and no test is called so"})
		}
	}
	return found
}

// mute is a way to silence a linter in place, and the form that carries a reason.
var mutes = []struct {
	name         string
	used, reason *regexp.Regexp
}{
	{"nolint", regexp.MustCompile(`^//\s*nolint\b`), regexp.MustCompile(`^//nolint:[\w,-]+ // \S`)},
	{"#nosec", regexp.MustCompile(`#nosec\b`), regexp.MustCompile(`#nosec [G0-9 ]+-- \S`)},
	{"lint:ignore", regexp.MustCompile(`^//lint:(?:file-)?ignore\b`), regexp.MustCompile(`ignore \S+ \S`)},
	{"eslint-disable", regexp.MustCompile(`eslint-disable`), regexp.MustCompile(`eslint-disable\S* .*-- \S`)},
	{"shellcheck disable", regexp.MustCompile(`#\s*shellcheck disable`), regexp.MustCompile(`disable=\S+ # \S`)},
}

func silenced(at string, line int, text string) []violation {
	if within(at, "internal/arch") {
		return nil
	}
	for _, m := range mutes {
		if m.used.MatchString(text) && !m.reason.MatchString(text) {
			return []violation{{"nolint-reason", at, line, m.name, m.name + " needs the linter's name and the reason on its line"}}
		}
	}
	return nil
}

// linterReasons holds every entry of .golangci.yml that switches something off to a
// comment: on its line, or on the lines just above it.
func linterReasons(t *tree) []violation {
	const name = ".golangci.yml"
	lists := []string{"disable:", "disabled-checks:", "excludes:", "exclude-functions:"}
	exclusions := []string{"rules:", "paths:", "presets:"}
	var found []violation
	indent, number, said, parent := -1, 0, false, ""
	for line := range strings.Lines(t.texts[name]) {
		number++
		text := strings.TrimSpace(line)
		depth := len(line) - len(strings.TrimLeft(line, " "))
		switch {
		case text == "":
			said = false
			continue
		case strings.HasPrefix(text, "#"):
			said = true
			continue
		case slices.Contains(lists, text), parent == "exclusions:" && slices.Contains(exclusions, text):
			indent = depth
		case indent >= 0 && depth <= indent:
			indent = -1
		case indent >= 0 && depth == indent+2 && strings.HasPrefix(text, "- ") && !said && !strings.Contains(text, " # "):
			found = append(found, violation{"linter-reason", name, number, text,
				fmt.Sprintf("%q is switched off without a reason", text)})
		}
		said = false
		if strings.HasSuffix(text, ":") && indent < 0 {
			parent = text
		}
	}
	return found
}
