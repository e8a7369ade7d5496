// Package cbor is the part of CBOR (RFC 8949) that Kula's values need, in core
// deterministic encoding (§4.2.1), so that every value has one spelling.
//
// # What a Go type is in CBOR
//
//	uint…, and those >= 0 of int…   major type 0, in its shortest form
//	int… below 0                    major type 1, in its shortest form
//	[]byte, [N]byte                 byte string (of exactly N bytes)
//	string                          text string of valid UTF-8
//	[]T                             array, of at most MaxElements; a longer one panics
//	struct                          array of its fields in order; the blank ones are left out
//	*T                              T, or null for nil
//	bool                            false or true
//
// A nil slice is written as an empty one and read as an empty one. There are no maps, tags,
// floats or indefinite lengths, and types may not contain themselves. Any other Go type is a
// mistake in the program and panics, at its first use.
//
// # Reading
//
// Unmarshal takes what Marshal writes and nothing else: not a longer form of an integer,
// a length or count beyond what is left, an integer that the field cannot hold, invalid
// UTF-8, an array of another length than the struct or a byte after the end. So what was read and is
// written again has the same bytes, without writing it to see. What is read shares no memory
// with the data, and memory is taken only as elements really come.
//
// # Why not a library alone
//
// A payment writes and reads some 40 values at the nodes on its way. Libraries that read
// strictly do it by writing again and comparing, and they write byte arrays byte
// by byte; that was a sixth of a payment's cost. The tests hold this package against
// fxamacker/cbor, value by value and byte by byte.
package cbor

import (
	"errors"
	"fmt"
	"reflect"
	"sync"
)

// MaxElements is how long an array may be: above every list of one value of Kula, each of
// which has a limit of its own.
const MaxElements = 4096

// The major types of CBOR, in the first three bits of an item, and the simple values.
const (
	majorUint  = 0 << 5
	majorNeg   = 1 << 5
	majorBytes = 2 << 5
	majorText  = 3 << 5
	majorArray = 4 << 5

	simpleFalse = 0xf4
	simpleTrue  = 0xf5
	simpleNull  = 0xf6
)

// ErrForm is wrapped by every error of Unmarshal.
var ErrForm = errors.New("not the CBOR of the value")

// codec writes and reads the values of one type. The value is addressable.
type codec struct {
	write func(b []byte, v reflect.Value) []byte
	read  func(r *reader, v reflect.Value) error
}

// codecs are those made so far, by reflect.Type. Making one twice does no harm.
var codecs sync.Map

func codecOf(t reflect.Type) *codec {
	if c, ok := codecs.Load(t); ok {
		return c.(*codec)
	}
	c := compile(t)
	codecs.Store(t, c)
	return c
}

func compile(t reflect.Type) *codec {
	switch t.Kind() {
	case reflect.Bool:
		return &codec{writeBool, readBool}
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uint:
		return &codec{writeUint, readUint}
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Int:
		return &codec{writeInt, readInt}
	case reflect.String:
		return &codec{writeText, readText}
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return &codec{writeBytes, readBytes}
		}
		return sliceOf(t)
	case reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 {
			return &codec{writeBytes, readArray}
		}
	case reflect.Pointer:
		return pointerTo(t)
	case reflect.Struct:
		return structOf(t)
	}
	panic(fmt.Sprintf("cbor: %s has no spelling", t))
}

func sliceOf(t reflect.Type) *codec {
	elem := codecOf(t.Elem())
	return &codec{
		write: func(b []byte, v reflect.Value) []byte {
			n := v.Len()
			if n > MaxElements {
				panic(fmt.Sprintf("cbor: an array of %d, at most %d: nobody would read it", n, MaxElements))
			}
			b = appendHead(b, majorArray, uint64(n))
			for i := range n {
				b = elem.write(b, v.Index(i))
			}
			return b
		},
		read: func(r *reader, v reflect.Value) error {
			n, err := r.length(majorArray)
			if err != nil {
				return err
			}
			if n > MaxElements {
				return r.fail("an array of %d, at most %d", n, MaxElements)
			}
			v.Set(reflect.MakeSlice(t, 0, min(n, firstElements)))
			for i := range n {
				if i == v.Cap() {
					v.Grow(min(i, n-i))
				}
				v.SetLen(i + 1)
				if err := elem.read(r, v.Index(i)); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// firstElements is for how many elements of an array memory is taken before any was read: a
// count is cheap to claim.
const firstElements = 16

func pointerTo(t reflect.Type) *codec {
	elem := codecOf(t.Elem())
	return &codec{
		write: func(b []byte, v reflect.Value) []byte {
			if v.IsNil() {
				return append(b, simpleNull)
			}
			return elem.write(b, v.Elem())
		},
		read: func(r *reader, v reflect.Value) error {
			if r.peek() == simpleNull {
				r.at++
				v.SetZero()
				return nil
			}
			v.Set(reflect.New(t.Elem()))
			return elem.read(r, v.Elem())
		},
	}
}

func structOf(t reflect.Type) *codec {
	type member struct {
		at int
		*codec
	}
	var members []member
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Name == "_" {
			continue
		}
		if !f.IsExported() || f.Anonymous {
			panic(fmt.Sprintf("cbor: field %s of %s must be exported and not embedded", f.Name, t))
		}
		members = append(members, member{i, codecOf(f.Type)})
	}
	return &codec{
		write: func(b []byte, v reflect.Value) []byte {
			b = appendHead(b, majorArray, uint64(len(members)))
			for _, m := range members {
				b = m.write(b, v.Field(m.at))
			}
			return b
		},
		read: func(r *reader, v reflect.Value) error {
			n, err := r.length(majorArray)
			if err != nil {
				return err
			}
			if n != len(members) {
				return r.fail("%d members of %s, which has %d", n, t.Name(), len(members))
			}
			for _, m := range members {
				if err := m.read(r, v.Field(m.at)); err != nil {
					return err
				}
			}
			return nil
		},
	}
}
