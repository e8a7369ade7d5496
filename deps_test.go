package kula_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// layers is the import law: what each package may import besides the standard library.
// A package without a line fails; a relaxed line is a commit of its own that says why.
// A name that ends in "/" allows everything below it.
var layers = map[string]struct {
	pure    bool // protocol: none of the packages in impure
	imports []string
}{
	"money":     {pure: true},
	"ident":     {pure: true, imports: []string{"github.com/mr-tron/base58", "github.com/oasisprotocol/curve25519-voi/", "github.com/tyler-smith/go-bip39", "golang.org/x/crypto/"}},
	"onion":     {pure: true, imports: []string{"golang.org/x/crypto/chacha20", "kula/ident"}},
	"wire/cbor": {}, // not pure by the letter: it keeps what it made for each type, for all goroutines
	"wire":      {pure: true, imports: []string{"kula/ident", "kula/money", "kula/wire/cbor"}},
	"credit":    {pure: true, imports: []string{"kula/ident", "kula/money", "kula/wire"}},
	"pay":       {pure: true, imports: []string{"kula/credit", "kula/ident", "kula/money", "kula/onion", "kula/wire"}},
	"route":     {pure: true, imports: []string{"kula/ident", "kula/money", "kula/wire"}},
	"node":      {pure: true, imports: []string{"kula/credit", "kula/ident", "kula/money", "kula/pay", "kula/route", "kula/wire"}},

	"internal/store":           {imports: []string{"kula/ident", "kula/money", "kula/node", "zombiezen.com/go/sqlite", "zombiezen.com/go/sqlite/sqlitex", "golang.org/x/sys/"}},
	"internal/store/storetest": {imports: []string{"kula/ident", "kula/money", "kula/node", "kula/internal/store"}},
	"sim":                      {imports: []string{"kula/credit", "kula/ident", "kula/money", "kula/node", "kula/onion", "kula/pay", "kula/route", "kula/wire"}},
	"sim/plants":               {},

	"internal/book":     {imports: []string{"kula/ident", "kula/money", "kula/node"}},
	"internal/index":    {imports: []string{"kula/ident", "kula/internal/p2p", "kula/route", "kula/wire"}},
	"internal/find":     {imports: []string{"github.com/anacrolix/", "github.com/miekg/dns", "golang.org/x/time/rate", "kula/ident", "kula/wire"}},
	"internal/relay":    {imports: []string{"golang.org/x/net/netutil", "kula/ident", "kula/internal/find", "kula/internal/p2p"}},
	"internal/run":      {imports: []string{"kula/ident", "kula/internal/find", "kula/internal/index", "kula/internal/p2p", "kula/node", "kula/wire"}},
	"internal/api":      {imports: []string{"github.com/danielgtaylor/huma/v2/", "github.com/go-json-experiment/json/", "golang.org/x/net/", "kula/ident", "kula/internal/book", "kula/internal/index", "kula/internal/run", "kula/internal/store", "kula/money", "kula/node", "kula/pay", "kula/wire"}},
	"internal/cli":      {imports: []string{"filippo.io/age", "filippo.io/age/armor", "github.com/BurntSushi/toml", "github.com/skip2/go-qrcode", "github.com/spf13/", "golang.org/x/term", "kula/credit", "kula/ident", "kula/internal/api", "kula/internal/find", "kula/internal/index", "kula/internal/relay", "kula/internal/run", "kula/internal/store", "kula/money", "kula/node", "kula/pay", "kula/route", "kula/wire"}},
	"internal/realtest": {},
	"internal/leaktest": {imports: []string{"kula/ident"}},
	"cmd/kula":          {imports: []string{"kula/internal/cli"}},
	"client":            {imports: []string{"github.com/oapi-codegen/runtime"}},
	"examples/till":     {imports: []string{"github.com/skip2/go-qrcode", "kula/client", "kula/money"}},
	"bench":             {imports: []string{"golang.org/x/sys/", "kula/ident", "kula/internal/index", "kula/internal/p2p", "kula/money", "kula/route", "kula/wire"}},

	"internal/find/findtest": {imports: []string{"github.com/anacrolix/", "golang.org/x/time/rate"}},

	"internal/p2p/p2ptest": {imports: []string{"kula/ident", "github.com/libp2p/", "github.com/multiformats/"}},
	"internal/p2p":         {imports: []string{"kula/ident", "github.com/libp2p/", "github.com/multiformats/", "github.com/quic-go/", "golang.org/x/", "google.golang.org/protobuf/"}},
}

// impure is what a rule must never see: time, entropy and the world come in by argument.
var impure = []string{"time", "os", "net", "log", "sync", "context", "math/rand", "math/rand/v2", "crypto/rand", "database/sql", "log/slog", "net/http", "sync/atomic", "os/exec"}

func TestImportLaw(t *testing.T) {
	seen := map[string]bool{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); path != "." && (strings.HasPrefix(name, ".") || name == "testdata" || name == "node_modules") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		pkg := filepath.ToSlash(filepath.Dir(path))
		seen[pkg] = true
		checkFile(t, pkg, path)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for pkg := range layers {
		if !seen[pkg] {
			t.Errorf("the table has a line for %s, which does not exist", pkg)
		}
	}
}

func checkFile(t *testing.T, pkg, path string) {
	law, ok := layers[pkg]
	if !ok {
		t.Errorf("%s: package %s has no line in the table of layers", path, pkg)
		return
	}
	src, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := parser.ParseFile(token.NewFileSet(), path, src, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	for _, spec := range f.Imports {
		name, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		standard := !strings.Contains(strings.SplitN(name, "/", 2)[0], ".") && !strings.HasPrefix(name, "kula/")
		switch {
		case standard && law.pure && slices.Contains(impure, name):
			t.Errorf("%s: a rule imports %s", path, name)
		case !standard && !allowed(law.imports, name):
			t.Errorf("%s: %s may not import %s", path, pkg, name)
		}
	}
}

func allowed(list []string, name string) bool {
	return slices.ContainsFunc(list, func(a string) bool {
		return a == name || strings.HasSuffix(a, "/") && (strings.HasPrefix(name, a) || name+"/" == a)
	})
}
