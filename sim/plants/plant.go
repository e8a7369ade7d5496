package main

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
)

//go:embed *.plant
var files embed.FS

// plant is one deliberate bug.
type plant struct {
	name  string
	about string // what it does, in one line
	rule  string // what it breaks
	edits []edit
}

// edit is one place of a file that a plant changes.
type edit struct {
	file     string // from the module's root, with slashes
	old, new []string
}

// load reads the plants of this directory, by name.
func load() ([]plant, error) {
	names, err := fs.Glob(files, "*.plant")
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	var list []plant
	for _, n := range names {
		data, err := files.ReadFile(n)
		if err != nil {
			return nil, err
		}
		p, err := parse(strings.TrimSuffix(n, ".plant"), string(data))
		if err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	return list, nil
}

// rules is how a plant names what it breaks: rules of spec/, or sections of the design.
var rules = regexp.MustCompile(`^rule ([A-Z]-?[0-9]+|design [0-9.]+)(, ([A-Z]-?[0-9]+|design [0-9.]+))*$`)

// parse reads one plant; the package comment has the form.
func parse(name, text string) (plant, error) {
	p := plant{name: name}
	for i, line := range strings.Split(text, "\n") {
		fail := func(what string) (plant, error) {
			return p, fmt.Errorf("%s.plant:%d: %s", name, i+1, what)
		}
		switch {
		case i == 0:
			p.about = line
			if line == "" {
				return fail("the first line says what the bug does; it is empty")
			}
		case i == 1:
			if !rules.MatchString(line) {
				return fail(`the second line names the rules that it breaks: "rule C-20, P-52"`)
			}
			p.rule = strings.TrimPrefix(line, "rule ")
		case line == "" || line[0] == '#':
		case strings.HasPrefix(line, "@@ "):
			file := strings.TrimSpace(line[3:])
			if file != path.Clean(file) || strings.HasPrefix(file, "..") || path.IsAbs(file) || strings.HasSuffix(file, "_test.go") || strings.HasPrefix(file, "sim/") {
				return fail("a plant changes a file of the product, named from the module's root, not " + file)
			}
			p.edits = append(p.edits, edit{file: file})
		case len(p.edits) == 0:
			return fail("a line before the first @@ file")
		default:
			e := &p.edits[len(p.edits)-1]
			switch line[0] {
			case ' ':
				e.old, e.new = append(e.old, line[1:]), append(e.new, line[1:])
			case '-':
				e.old = append(e.old, line[1:])
			case '+':
				e.new = append(e.new, line[1:])
			default:
				return fail("a line of an edit begins with a blank, - or +")
			}
		}
	}
	if len(p.edits) == 0 {
		return p, fmt.Errorf("%s.plant: no edit", name)
	}
	for _, e := range p.edits {
		if len(e.old) == 0 || slices.Equal(e.old, e.new) {
			return p, fmt.Errorf("%s.plant: an edit of %s that finds or changes nothing", name, e.file)
		}
	}
	return p, nil
}

// apply gives the changed files. read gives the text of a file of the tree.
func (p *plant) apply(read func(file string) (string, error)) (map[string]string, error) {
	texts := map[string]string{}
	for _, e := range p.edits {
		text, ok := texts[e.file]
		if !ok {
			var err error
			if text, err = read(e.file); err != nil {
				return nil, fmt.Errorf("%s.plant: %w", p.name, err)
			}
		}
		lines := strings.Split(text, "\n")
		at := find(lines, e.old)
		if len(at) != 1 {
			return nil, fmt.Errorf("%s.plant: found %d times in %s, must be once:\n%s", p.name, len(at), e.file, strings.Join(e.old, "\n"))
		}
		texts[e.file] = strings.Join(slices.Concat(lines[:at[0]], e.new, lines[at[0]+len(e.old):]), "\n")
	}
	return texts, nil
}

// find gives every index at which old stands in lines, but for white space at the ends of lines.
func find(lines, old []string) (at []int) {
	same := func(a, b string) bool { return strings.TrimSpace(a) == strings.TrimSpace(b) }
	for i := 0; i+len(old) <= len(lines); i++ {
		if slices.EqualFunc(lines[i:i+len(old)], old, same) {
			at = append(at, i)
		}
	}
	return at
}
