package kula_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"kula/ident"
	"kula/node"
	"kula/route"
	"kula/wire"
)

// decoders is how functions are named that read what others wrote.
var decoders = regexp.MustCompile(`^(Parse|Decode|Unmarshal|Open)([A-Z0-9].*)?$`)

// implied are interfaces by which a fuzz test reaches a decoder without its name.
var implied = map[string]string{"UnmarshalJSON": "json.Unmarshal"}

// Every exported decoder of a pure package has a fuzz test, in its package or here, that mentions it.
func TestEveryDecoderIsFuzzed(t *testing.T) {
	found := 0
	for pkg, law := range layers {
		if !law.pure {
			continue
		}
		mentioned := map[string]bool{}
		for _, f := range parseFiles(t, filepath.Join(pkg, "*_test.go")) {
			fuzzMentions(f, "", mentioned)
		}
		for _, f := range parseFiles(t, "*_test.go") {
			fuzzMentions(f, pkg+".", mentioned)
		}
		for _, f := range parseFiles(t, filepath.Join(pkg, "*.go")) {
			for _, d := range f.Decls {
				fn, ok := d.(*ast.FuncDecl)
				if !ok || !isDecoder(fn) {
					continue
				}
				found++
				if name := fn.Name.Name; !mentioned[name] && !mentioned[implied[name]] {
					t.Errorf("%s.%s has no fuzz test", pkg, name)
				}
			}
		}
	}
	if found < 20 {
		t.Errorf("only %d decoders found", found)
	}
}

// isDecoder says whether an exported function, or method of an exported type, is named as a decoder and can
// fail: its last result is an error or a bool.
func isDecoder(fn *ast.FuncDecl) bool {
	if !decoders.MatchString(fn.Name.Name) || fn.Type.Results == nil {
		return false
	}
	if fn.Recv != nil {
		recv := fn.Recv.List[0].Type
		if star, ok := recv.(*ast.StarExpr); ok {
			recv = star.X
		}
		if id, ok := recv.(*ast.Ident); ok && !id.IsExported() {
			return false
		}
	}
	list := fn.Type.Results.List
	last, ok := list[len(list)-1].Type.(*ast.Ident)
	return ok && (last.Name == "error" || last.Name == "bool")
}

func parseFiles(t *testing.T, pattern string) (list []*ast.File) {
	names, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") != strings.HasSuffix(pattern, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, f)
	}
	return list
}

// fuzzMentions collects what the bodies of fuzz tests call: names that stand alone or after a dot. With a
// prefix only names after that package count.
func fuzzMentions(f *ast.File, prefix string, mentioned map[string]bool) {
	for _, d := range f.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || !strings.HasPrefix(fn.Name.Name, "Fuzz") {
			continue
		}
		ast.Inspect(fn.Body, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.SelectorExpr:
				x, _ := n.X.(*ast.Ident)
				if x != nil {
					mentioned[x.Name+"."+n.Sel.Name] = true
				}
				if prefix == "" || x != nil && x.Name+"." == prefix {
					mentioned[n.Sel.Name] = true
				}
			case *ast.Ident:
				if prefix == "" {
					mentioned[n.Name] = true
				}
			}
			return true
		})
	}
}

// FuzzEnded: what is stored of ended payments and invoices reads or is refused, and never panics:
// node.DecodePayment and node.DecodeInvoice.
func FuzzEnded(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0x80})
	f.Add(bytes.Repeat([]byte{0x98, 0x18}, 8))
	f.Fuzz(func(t *testing.T, data []byte) {
		if v, err := node.DecodePayment(data); err == nil && v == nil {
			t.Fatal("neither a payment nor an error")
		}
		if v, err := node.DecodeInvoice(data); err == nil && v == nil {
			t.Fatal("neither an invoice nor an error")
		}
	})
}

// FuzzAnnouncement: route.Open gives only what its node signed, in the one spelling.
func FuzzAnnouncement(f *testing.F) {
	k, other := ident.NewKey([32]byte{1}), ident.NewKey([32]byte{2})
	s := wire.SignAlone(k, route.Tag, route.Announcement{Node: k.ID(), Friend: other.ID(), Number: 1, Expires: 1 << 31})
	f.Add(s.Body, s.Sig[:])
	f.Add([]byte{0x80}, []byte{})
	f.Fuzz(func(t *testing.T, body, sig []byte) {
		x := wire.Batched{Body: body}
		copy(x.Sig[:], sig)
		a, err := route.Open(other, x)
		c := x.Check(a.Node, route.Tag)
		if err == nil && (!bytes.Equal(a.Encode(), body) || !ident.Verify(a.Node, c.Tag, c.Msg, x.Sig)) {
			t.Fatalf("opened %x", body)
		}
	})
}
