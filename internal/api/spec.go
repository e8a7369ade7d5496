package api

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"kula/ident"
	"kula/money"
	"kula/node"
	"kula/wire"
)

//go:generate go test -run TestSpecIsCurrent . -update

// version of the API: it grows when something is added, and has no second major.
const version = "1.0.0"

// Spec returns the description of the API in OpenAPI 3.1, as indented JSON. It needs no
// running node.
func Spec() []byte { return indented(description(), (*huma.OpenAPI).MarshalJSON) }

// Spec30 returns it in OpenAPI 3.0.3, for generators of clients that read no newer one.
func Spec30() []byte { return indented(description(), (*huma.OpenAPI).Downgrade) }

func indented(d *huma.OpenAPI, encode func(*huma.OpenAPI) ([]byte, error)) []byte {
	plain, err := encode(d)
	var b bytes.Buffer
	if err == nil {
		err = json.Indent(&b, plain, "", "  ")
	}
	if err != nil {
		panic("api: the description cannot be encoded: " + err.Error())
	}
	b.WriteByte('\n')
	return b.Bytes()
}

// description registers all operations with a mux that nobody serves.
func description() *huma.OpenAPI {
	a := humago.New(http.NewServeMux(), config())
	(&Server{}).register(a)
	return a.OpenAPI()
}

// config is huma's: JSON only, no documentation pages, our schemas.
func config() huma.Config {
	schemas := huma.NewMapRegistry("#/components/schemas/", schemaName)
	for t, as := range map[reflect.Type]reflect.Type{
		reflect.TypeFor[money.Value]():       reflect.TypeFor[Amount](),
		reflect.TypeFor[huma.ErrorModel]():   reflect.TypeFor[Problem](),
		reflect.TypeFor[node.PaymentState](): reflect.TypeFor[paymentState](),
		reflect.TypeFor[node.FriendState]():  reflect.TypeFor[friendState](),
		reflect.TypeFor[ident.ID]():          reflect.TypeFor[keyText](),
		reflect.TypeFor[wire.Code]():         reflect.TypeFor[codeText](),
	} {
		schemas.RegisterTypeAlias(t, as)
	}
	c := huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info:    &huma.Info{Title: "Kula", Version: version, Description: "A Kula node's local API: friends, credit lines, invoices, payments, the account book."},
			Servers: []*huma.Server{{URL: "http://127.0.0.1:4280"}},
			Components: &huma.Components{
				Schemas: schemas,
				SecuritySchemes: map[string]*huma.SecurityScheme{
					"token": {Type: "http", Scheme: "bearer", Description: "The owner's token from api.json, or one made by POST /v1/tokens."},
				},
			},
		},
		Formats:       map[string]huma.Format{"application/json": jsonFormat, "json": jsonFormat},
		DefaultFormat: "application/json",
		Transformers:  []huma.Transformer{asProblem},
	}
	c.AllowAdditionalPropertiesByDefault = true // answers may gain members; requests say otherwise
	return c
}

// schemaName gives the views their names without the word that Go needs.
func schemaName(t reflect.Type, hint string) string {
	name := huma.DefaultSchemaNamer(t, hint)
	if n, ok := trimView(name); ok {
		return n
	}
	return name
}

func trimView(name string) (string, bool) {
	const suffix = "View"
	if len(name) > len(suffix) && name[len(name)-len(suffix):] == suffix {
		return name[:len(name)-len(suffix)], true
	}
	return name, false
}

// Amount describes money.Value, which writes itself.
type Amount struct {
	Value  string `json:"value" pattern:"^(0|-?[1-9][0-9]{0,18})$" example:"1250" doc:"Minor units: 1250 is 12.50 with the scale 2."`
	Code   string `json:"assetCode" pattern:"^[A-Z][A-Z0-9]{1,11}$" example:"EUR"`
	Scale  int    `json:"assetScale" minimum:"0" maximum:"9" example:"2" doc:"Number of decimals."`
	Issuer string `json:"assetIssuer,omitempty" doc:"Key of the circle that issues the currency."`
}

// The types below describe texts that only have certain values.
type (
	paymentState string
	friendState  string
	keyText      string
	codeText     string
)

// Schema is what huma shows.
func (paymentState) Schema(huma.Registry) *huma.Schema {
	return enum(node.Paid, node.Held, node.Returned, node.Waiting)
}

// Schema is what huma shows.
func (friendState) Schema(huma.Registry) *huma.Schema {
	return enum(node.Pending, node.Opened, node.Closed, node.Frozen, node.Removed)
}

// Schema is what huma shows.
func (keyText) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Description: "An identity's key: z-base-32 in answers, any spelling in requests."}
}

// Schema is what huma shows.
func (codeText) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Description: "The name of a refusal, e.g. limit_reached. New ones may be added."}
}

func enum[S ~string](values ...S) *huma.Schema {
	s := &huma.Schema{Type: huma.TypeString}
	for _, v := range values {
		s.Enum = append(s.Enum, string(v))
	}
	return s
}

// add registers an operation. need is checked before the body is read; status is that of
// success, 0 for 200.
func add[I, O any](a huma.API, need right, op huma.Operation, handler func(context.Context, *I) (*O, error)) {
	op.Middlewares = huma.Middlewares{guard(need)}
	op.Security = []map[string][]string{{"token": {}}}
	op.MaxBodyBytes, op.BodyReadTimeout = -1, -1 // see takeBody
	op.Description = sentence(op.Description) + "Scope: " + need.word + "."
	open(a, op, handler)
}

func sentence(s string) string {
	if s == "" {
		return ""
	}
	return s + " "
}

// open registers an operation that anybody may call.
func open[I, O any](a huma.API, op huma.Operation, handler func(context.Context, *I) (*O, error)) {
	huma.Register(a, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := handler(ctx, in)
		if err != nil {
			return nil, problemOf(err)
		}
		return out, nil
	})
}

// register adds every operation and tidies what huma says about them.
func (s *Server) register(a huma.API) {
	s.registerNode(a)
	s.registerFriends(a)
	s.registerInvoices(a)
	s.registerPayments(a)
	s.registerBook(a)
	s.registerTokens(a)
	s.registerEvents(a)
	s.registerServers(a)
	for _, schema := range a.OpenAPI().Components.Schemas.Map() {
		tidy(schema)
	}
}

// tidy removes what is true of huma's view of Go and not of the API: lists are never
// null, and further members are allowed without being of use.
func tidy(s *huma.Schema) {
	if s == nil {
		return
	}
	if s.AdditionalProperties == true {
		s.AdditionalProperties = nil
	}
	if s.Type == huma.TypeArray {
		s.Nullable = false
	}
	tidy(s.Items)
	for _, p := range s.Properties {
		tidy(p)
	}
}
