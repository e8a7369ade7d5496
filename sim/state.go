package sim

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"sync"

	"kula/node"
)

// passing is what of a node's state is not saved, by type and field, and why a restart may do without.
var passing = map[string]string{
	"Node.suite":           "given at the start",
	"Node.cfg":             "given at the start",
	"Node.guests":          "sessions end with the process",
	"Node.unproven":        "asked once more after a start",
	"Node.queries":         "asked again",
	"Node.lastQuery":       "numbers only what is in flight",
	"Node.pairs":           "a cache",
	"Node.boxes":           "a cache",
	"Node.keys":            "a cache",
	"Node.now":             "the clock",
	"Node.entropy":         "of one Step",
	"Node.drawn":           "of one Step",
	"Node.fx":              "of one Step",
	"Node.dirty":           "of one Step",
	"Node.touched":         "of one Step; after a start everything is touched by the hello",
	"Node.wakes":           "of one Step",
	"Node.due":             "a timer",
	"Node.stopped":         "of the process",
	"friend.session":       "sessions end with the process",
	"friend.claimed":       "said again at the next hello",
	"friend.missing":       "of the time after a start",
	"Node.started":         "of the time after a start",
	"Node.missed":          "of the time after a start",
	"Node.batches":         "of the process",
	"friend.showBy":        "of a stranger, which is in memory only",
	"friend.proposal":      "sent again at the next hello",
	"friend.said":          "announced again",
	"friend.announceDue":   "announced again",
	"friend.keepSent":      "sent again",
	"friend.touched":       "of one Step",
	"friend.unnamed":       "a name that may still change; after a restart it stays",
	"Channel.TermsAbove":   "set before it is used",
	"friend.keptTime":      "when the bytes to keep were taken; asked again",
	"friend.keptSum":       "of the bytes to keep",
	"payment.sealed":       "computed",
	"payment.link":         "a cache",
	"payment.boxSalt":      "a cache",
	"friend.problem":       "words about the last session",
	"friend.turned":        "asked once more after a start",
	"incoming.arrived":     "repeated by the payee",
	"incoming.parcel":      "computed",
	"seen.fresh":           "of one Step",
	"seen.last":            "numbers only what is there",
	"incoming.stuck":       "found again when that friend comes",
	"incoming.early":       "repeated by the payer",
	"outgoing.early":       "repeated by the friend",
	"outgoing.arrived":     "repeated by the payee",
	"outgoing.orders":      "repeated by the payer",
	"payment.reason":       "words; the search begins anew",
	"payment.told":         "words; saved with what has ended",
	"payment.avoid":        "learned again from the same failure",
	"payment.overrides":    "learned again from the same failure",
	"part.room":            "what an index said; one that has heard of the part since says less",
	"part.by":              "which index said so; a restart forgets whom it would judge",
	"Node.learned":         "learned again from the same failure",
	"payment.catching":     "looked at again after a start",
	"payment.loaded":       "looked at again after a start",
	"collection.name":      "what one part said; each part says it",
	"collection.text":      "what one part said; each part says it",
	"collection.payer":     "what one part said; each part says it",
	"TheirLock.Digest":     "computed",
	"invoice.from":         "found again through its parts",
	"collection.parts":     "found again through the locks",
	"collectedPart.amount": "of the lock",
}

// compareRestart is rule S5: what a restart would make of the disk now is what is in memory.
func (m *Member) compareRestart() {
	if len(m.unsaved) > 0 || m.node == nil {
		return
	}
	fresh, err := node.Load(m.keys, m.config, m.disk.load())
	if err != nil {
		m.w.fail("S5", "%s would not start from its disk: %v", m, err)
		return
	}
	c := comparing{seen: map[[2]uintptr]bool{}, path: []string{"node"}}
	live, loaded := reflect.ValueOf(m.node).Elem(), reflect.ValueOf(fresh).Elem()
	if tentative(live) {
		return
	}
	if diff := c.differ(live, loaded); diff != "" {
		m.w.fail("S5", "%s after a restart: %s", m, diff)
	}
}

// tentative: a stranger that is being looked at is in memory only.
func tentative(n reflect.Value) bool {
	order := n.FieldByName("order")
	for i := range order.Len() {
		if order.Index(i).Elem().FieldByName("tentative").Bool() {
			return true
		}
	}
	return false
}

type comparing struct {
	seen map[[2]uintptr]bool
	path []string // field names and keys down to where it is; put together only for a difference
}

func (c *comparing) says(format string, args ...any) string {
	return strings.Join(c.path, ".") + ": " + fmt.Sprintf(format, args...)
}

// in compares one step further down.
func (c *comparing) in(name string, a, b reflect.Value) string {
	c.path = append(c.path, name)
	d := c.differ(a, b)
	c.path = c.path[:len(c.path)-1]
	return d
}

// differ says where two values differ, "" if nowhere.
func (c *comparing) differ(a, b reflect.Value) string {
	switch a.Kind() {
	case reflect.Pointer:
		if a.IsNil() || b.IsNil() {
			if a.IsNil() != b.IsNil() {
				return c.says("%s in memory, %s from disk", isNil(a), isNil(b))
			}
			return ""
		}
		key := [2]uintptr{a.Pointer(), b.Pointer()}
		if c.seen[key] {
			return ""
		}
		c.seen[key] = true
		return c.differ(a.Elem(), b.Elem())
	case reflect.Struct:
		return c.structs(a, b)
	case reflect.Slice, reflect.Array:
		return c.lists(a, b)
	case reflect.Map:
		return c.maps(a, b)
	case reflect.Func, reflect.Interface, reflect.Chan:
		return ""
	}
	if !a.Equal(b) {
		return c.says("%v in memory, %v from disk", a, b)
	}
	return ""
}

func (c *comparing) lists(a, b reflect.Value) string {
	if a.Len() != b.Len() {
		return c.says("%d items in memory, %d from disk", a.Len(), b.Len())
	}
	if a.Type().Elem().Kind() == reflect.Uint8 {
		same := a.Kind() == reflect.Array && a.Equal(b) || a.Kind() == reflect.Slice && bytes.Equal(a.Bytes(), b.Bytes())
		if !same {
			return c.says("%x in memory, %x from disk", a, b)
		}
		return ""
	}
	for i := range a.Len() {
		if d := c.in("[]", a.Index(i), b.Index(i)); d != "" {
			return d
		}
	}
	return ""
}

func isNil(v reflect.Value) string {
	if v.IsNil() {
		return "nothing"
	}
	return "something"
}

// compared is which fields of a type count, by index.
var compared sync.Map // reflect.Type → []int

func fieldsOf(t reflect.Type) []int {
	if f, ok := compared.Load(t); ok {
		return f.([]int)
	}
	var list []int
	for i := range t.NumField() {
		if t.Field(i).Name != "_" && passing[t.Name()+"."+t.Field(i).Name] == "" {
			list = append(list, i)
		}
	}
	compared.Store(t, list)
	return list
}

func (c *comparing) structs(a, b reflect.Value) string {
	t := a.Type()
	if t.Name() == "payment" && a.FieldByName("stage").Uint() >= 5 { // ended: kept for the book alone
		return c.in("id", a.FieldByName("id"), b.FieldByName("id"))
	}
	for _, i := range fieldsOf(t) {
		if d := c.in(t.Field(i).Name, a.Field(i), b.Field(i)); d != "" {
			return d
		}
	}
	return ""
}

// seeking: a payment that has locked nothing yet need not survive.
func seeking(v reflect.Value) bool {
	return v.Kind() == reflect.Pointer && v.Type().Elem().Name() == "payment" && v.Elem().FieldByName("stage").Uint() == 0
}

// maps: a key that is absent is a zero.
func (c *comparing) maps(a, b reflect.Value) string {
	for _, side := range [][2]reflect.Value{{a, b}, {b, a}} {
		for it := side[0].MapRange(); it.Next(); {
			v, o := it.Value(), side[1].MapIndex(it.Key())
			if !o.IsValid() {
				if v.IsZero() || seeking(v) {
					continue
				}
				if side[0] == b && v.Type().Name() == "place" {
					continue // of a part that came twice: the second is known by it once the first has ended
				}
				if side[0] == a {
					return c.says("[%s] is only in memory", brief(it.Key()))
				}
				return c.says("[%s] is only on disk", brief(it.Key()))
			}
			if side[0] != a {
				continue // compared already
			}
			if d := c.differ(v, o); d != "" {
				return d
			}
		}
	}
	return ""
}

// brief is a map's key for a message.
func brief(k reflect.Value) string {
	s := fmt.Sprint(k)
	return s[:min(len(s), 16)]
}
