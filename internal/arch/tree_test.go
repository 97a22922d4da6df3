package arch

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// tree is the source as every rule sees it: parsed Go, the text of everything
// else that a rule reads, and the names of all that exists.
type tree struct {
	module string
	fset   *token.FileSet
	files  []*goFile
	texts  map[string]string // path → content of .md, .sql, .ts, .vue, .sh, .yml
	paths  map[string]bool   // every file and directory
}

// goFile is one parsed Go file.
type goFile struct {
	path      string
	dir       string
	test      bool // _test.go
	generated bool
	lines     int
	ast       *ast.File
	imports   []goImport
}

// goImport is one import; local is the name that the file knows it by.
type goImport struct {
	path  string
	local string
	line  int
}

// violation is one breach. at and what are the keys that an exception names.
type violation struct {
	clause string
	at     string // file or package, from the root
	line   int
	what   string // the import, table, variable, function … that breaks the clause
	text   string
}

func (v violation) String() string {
	at := v.at
	if v.line > 0 {
		at += ":" + strconv.Itoa(v.line)
	}
	return fmt.Sprintf("%s: [%s] %s", at, v.clause, v.text)
}

// skippedDirs are never source of ours: outputs, and what package managers fetch.
var skippedDirs = map[string]bool{
	".git": true, "node_modules": true, "bin": true, "data": true,
	"dist": true, "testdata": true, "coverage": true,
}

var textSuffixes = []string{".md", ".sql", ".ts", ".vue", ".sh", ".yml", ".yaml"}

// readTree reads a module from its root.
func readTree(fsys fs.FS) (*tree, error) {
	t := &tree{fset: token.NewFileSet(), texts: map[string]string{}, paths: map[string]bool{}}
	mod, err := fs.ReadFile(fsys, "go.mod")
	if err != nil {
		return nil, fmt.Errorf("read the module's name: %w", err)
	}
	match := regexp.MustCompile(`(?m)^module (\S+)$`).FindSubmatch(mod)
	if match == nil {
		return nil, errors.New("go.mod names no module")
	}
	t.module = string(match[1])
	err = fs.WalkDir(fsys, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // removed while we walk, as build outputs are
		case err != nil:
			return err
		case entry.IsDir():
			t.paths[name] = true
			if skippedDirs[entry.Name()] && name != "." {
				return fs.SkipDir
			}
			return nil
		}
		t.paths[name] = true
		return t.read(fsys, name)
	})
	slices.SortFunc(t.files, func(a, b *goFile) int { return cmp.Compare(a.path, b.path) })
	return t, err
}

func (t *tree) read(fsys fs.FS, name string) error {
	isGo := strings.HasSuffix(name, ".go")
	isText := slices.ContainsFunc(textSuffixes, func(s string) bool { return strings.HasSuffix(name, s) })
	if !isGo && !isText {
		return nil
	}
	src, err := fs.ReadFile(fsys, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	if isText {
		t.texts[name] = string(src)
		return nil
	}
	parsed, err := parser.ParseFile(t.fset, name, src, parser.ParseComments)
	if err != nil {
		return fmt.Errorf("parse %s: %w", name, err)
	}
	f := &goFile{
		path: name, dir: path.Dir(name), ast: parsed,
		test:      strings.HasSuffix(name, "_test.go"),
		generated: ast.IsGenerated(parsed),
		lines:     bytes.Count(src, []byte("\n")),
	}
	for _, spec := range parsed.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return fmt.Errorf("import in %s: %w", name, err)
		}
		local := path.Base(p)
		if versionSuffix.MatchString(local) {
			local = path.Base(path.Dir(p))
		}
		if spec.Name != nil {
			local = spec.Name.Name
		}
		f.imports = append(f.imports, goImport{path: p, local: local, line: t.line(spec.Pos())})
	}
	t.files = append(t.files, f)
	return nil
}

var versionSuffix = regexp.MustCompile(`^v[0-9]+$`)

func (t *tree) line(pos token.Pos) int { return t.fset.Position(pos).Line }

// local turns an import path of this module into a directory; ok is false for others.
func (t *tree) local(importPath string) (dir string, ok bool) {
	return strings.CutPrefix(importPath, t.module+"/")
}

// packages gives the files of every directory, in a stable order.
func (t *tree) packages() (dirs []string, files map[string][]*goFile) {
	files = map[string][]*goFile{}
	for _, f := range t.files {
		if files[f.dir] == nil {
			dirs = append(dirs, f.dir)
		}
		files[f.dir] = append(files[f.dir], f)
	}
	slices.Sort(dirs)
	return dirs, files
}

// imported is the name by which f knows importPath, or "" when it does not import it.
func (f *goFile) imported(importPath string) string {
	for _, imp := range f.imports {
		if imp.path == importPath {
			return imp.local
		}
	}
	return ""
}

// sortedTexts gives the paths of the texts with one of the suffixes, in order.
func (t *tree) sortedTexts(suffixes ...string) []string {
	var names []string
	for name := range t.texts {
		if slices.ContainsFunc(suffixes, func(s string) bool { return strings.HasSuffix(name, s) }) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
