package api

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write openapi.json and openapi-3.0.json")

// TestSpecIsCurrent compares the committed descriptions with what the code says.
func TestSpecIsCurrent(t *testing.T) {
	for name, want := range map[string][]byte{"openapi.json": Spec(), "openapi-3.0.json": Spec30()} {
		if *update {
			if err := os.WriteFile(name, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not what the code says: run go generate ./internal/api", name)
		}
	}
}

// TestSpecSaysWhatIsThere looks at the parts of the description that clients rely on.
func TestSpecSaysWhatIsThere(t *testing.T) {
	var d struct {
		OpenAPI string                                `json:"openapi"`
		Paths   map[string]map[string]json.RawMessage `json:"paths"`
		Comps   struct {
			Schemas map[string]struct {
				Required   []string                   `json:"required"`
				Additional *bool                      `json:"additionalProperties"`
				Properties map[string]json.RawMessage `json:"properties"`
			} `json:"schemas"`
		} `json:"components"`
	}
	if err := json.Unmarshal(Spec(), &d); err != nil {
		t.Fatal(err)
	}
	if d.OpenAPI != "3.1.0" {
		t.Errorf("version %q", d.OpenAPI)
	}
	for _, op := range []string{
		"GET /healthz", "GET /readyz", "GET /metrics", "GET /v1/identity", "GET /v1/friends", "GET /v1/friends/{ref}",
		"POST /v1/invitations", "POST /v1/friends", "POST /v1/friends/{ref}/addresses", "PUT /v1/friends/{ref}/limit",
		"PUT /v1/friends/{ref}/fee", "POST /v1/friends/{ref}/settlements", "POST /v1/friends/{ref}/agree",
		"POST /v1/friends/{ref}/close", "POST /v1/friends/{ref}/remove", "POST /v1/blocks", "DELETE /v1/blocks/{key}",
		"POST /v1/invoices", "GET /v1/invoices", "GET /v1/invoices/{id}", "POST /v1/invoices/{id}/cancel",
		"POST /v1/redemptions", "POST /v1/payments", "POST /v1/quotes", "GET /v1/payments", "GET /v1/payments/{id}",
		"POST /v1/payments/{id}/release", "POST /v1/payments/{id}/cancel", "GET /v1/balances", "GET /v1/currencies",
		"GET /v1/book", "GET /v1/book/verify", "GET /v1/book/export", "GET /v1/proofs/{ref}", "GET /v1/events",
		"POST /v1/tokens", "GET /v1/tokens", "DELETE /v1/tokens/{id}", "GET /v1/announced", "GET /v1/backup",
	} {
		method, path, _ := strings.Cut(op, " ")
		if d.Paths[path][strings.ToLower(method)] == nil {
			t.Errorf("%s is missing", op)
		}
	}
	for _, name := range []string{"Amount", "Friend", "Payment", "Invoice", "Quote", "Problem"} {
		if len(d.Comps.Schemas[name].Properties) == 0 {
			t.Errorf("schema %s is missing", name)
		}
	}
	order := d.Comps.Schemas["PaymentOrder"]
	if order.Additional == nil || *order.Additional {
		t.Error("a payment order may have unknown members; a misspelt maxFee would be overlooked")
	}
}
