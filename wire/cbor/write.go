package cbor

import (
	"encoding/binary"
	"math"
	"reflect"
	"slices"
	"sync"
)

// buffers are for values while their length is not known.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// maxBuffer is the largest buffer that is kept for the next value: an update that brings 300 locks with onions. Most
// values are below 4 KiB.
const maxBuffer = 1 << 20

// Marshal gives the one spelling of v, a value or a pointer to one. It panics for a type that
// has none.
func Marshal(v any) []byte { return Append(nil, v) }

// Append is Marshal, appended to b.
func Append(b []byte, v any) []byte {
	value := reflect.ValueOf(v)
	if value.Kind() == reflect.Pointer && !value.IsNil() {
		value = value.Elem()
	} else {
		addressable := reflect.New(value.Type()).Elem()
		addressable.Set(value)
		value = addressable
	}
	buffer := buffers.Get().(*[]byte)
	*buffer = codecOf(value.Type()).write((*buffer)[:0], value)
	b = append(slices.Grow(b, len(*buffer)), *buffer...)
	if cap(*buffer) <= maxBuffer {
		buffers.Put(buffer)
	}
	return b
}

// appendHead writes the head of an item: its major type and its number, in the shortest form.
func appendHead(b []byte, major byte, n uint64) []byte {
	switch {
	case n < 24:
		return append(b, major|byte(n))
	case n <= math.MaxUint8:
		return append(b, major|24, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(b, major|25), uint16(n))
	case n <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(b, major|26), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(b, major|27), n)
}

func writeBool(b []byte, v reflect.Value) []byte {
	if v.Bool() {
		return append(b, simpleTrue)
	}
	return append(b, simpleFalse)
}

func writeUint(b []byte, v reflect.Value) []byte { return appendHead(b, majorUint, v.Uint()) }

func writeInt(b []byte, v reflect.Value) []byte {
	n := v.Int()
	if n < 0 {
		return appendHead(b, majorNeg, uint64(-1-n))
	}
	return appendHead(b, majorUint, uint64(n))
}

func writeText(b []byte, v reflect.Value) []byte {
	s := v.String()
	return append(appendHead(b, majorText, uint64(len(s))), s...)
}

func writeBytes(b []byte, v reflect.Value) []byte {
	s := v.Bytes()
	return append(appendHead(b, majorBytes, uint64(len(s))), s...)
}
