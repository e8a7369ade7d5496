package wire

import (
	"encoding/base64"
	"net/url"
	"strings"
)

// The kinds of link: kula:<kind>?<parameters>. The parameter "d" is the value's bytes in
// base64url without padding; others are ignored unless they begin with "req-".
const (
	LinkFriend  = "friend"  // Signed Invitation
	LinkInvoice = "invoice" // Signed Invoice
	LinkRelease = "release" // Release
	LinkReceipt = "receipt" // Receipt
	LinkProof   = "proof"   // a debt or a fault
	LinkIndex   = "index"   // parameters key and addr
)

// Link spells data as a link of a kind.
func Link(kind string, data []byte) string {
	return "kula:" + kind + "?d=" + base64.RawURLEncoding.EncodeToString(data)
}

// LinkParameters splits a link into its kind and parameters and refuses unknown "req-" ones.
func LinkParameters(link string) (kind string, params url.Values, err error) {
	link = strings.TrimSpace(link)
	rest, ok := strings.CutPrefix(link, "kula:")
	if !ok {
		return "", nil, formErr("not a kula: link")
	}
	kind, query, _ := strings.Cut(rest, "?")
	params, err = url.ParseQuery(query)
	if err != nil {
		return "", nil, formErr("link parameters: %v", err)
	}
	var unknown []string
	for name := range params {
		if strings.HasPrefix(name, "req-") {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) > 0 {
		least := unknown[0]
		for _, n := range unknown {
			least = min(least, n)
		}
		return "", nil, formErr("this link needs %q, which this version does not know", least)
	}
	return kind, params, nil
}

// ParseLink gives the bytes of a link of the wanted kind.
func ParseLink(want, link string) ([]byte, error) {
	kind, params, err := LinkParameters(link)
	if err != nil {
		return nil, err
	}
	if kind != want {
		return nil, formErr("this is a kula:%s link, a kula:%s link is needed", kind, want)
	}
	data, err := base64.RawURLEncoding.Strict().DecodeString(params.Get("d"))
	if err != nil || len(data) == 0 {
		return nil, formErr("the link is cut off or altered")
	}
	return data, nil
}
