package cbor

import (
	"encoding/binary"
	"fmt"
	"math"
	"reflect"
	"unicode/utf8"
)

// Unmarshal reads the one spelling of a value into v, a pointer. Errors wrap [ErrForm]
// and name the byte at which reading stopped; v is then partly filled.
func Unmarshal(data []byte, v any) error {
	value := reflect.ValueOf(v)
	if value.Kind() != reflect.Pointer || value.IsNil() {
		panic(fmt.Sprintf("cbor: read into %T, which is no pointer", v))
	}
	r := &reader{data: data}
	value = value.Elem()
	if err := codecOf(value.Type()).read(r, value); err != nil {
		return err
	}
	if r.at < len(data) {
		return r.fail("%d bytes after the end", len(data)-r.at)
	}
	return nil
}

// reader is how far data was read.
type reader struct {
	data []byte
	at   int
}

func (r *reader) fail(format string, args ...any) error {
	return fmt.Errorf("%w: byte %d: "+format, append([]any{ErrForm, r.at}, args...)...)
}

// peek is the next byte, 0xff (a break, which is never right) at the end.
func (r *reader) peek() byte {
	if r.at < len(r.data) {
		return r.data[r.at]
	}
	return 0xff
}

var majorNames = [8]string{"an integer", "an integer below 0", "a byte string", "a text", "an array", "a map", "a tag", "a simple value"}

// head reads the head of an item and moves past it.
func (r *reader) head() (major byte, n uint64, err error) {
	if r.at >= len(r.data) {
		return 0, 0, r.fail("cut off")
	}
	first := r.data[r.at]
	major, n = first&0xe0, uint64(first&0x1f)
	if n < 24 {
		r.at++
		return major, n, nil
	}
	if n > 27 {
		return 0, 0, r.fail("%#02x begins no item", first)
	}
	size := 1 << (n - 24)
	rest := r.data[r.at+1:]
	if len(rest) < size {
		return 0, 0, r.fail("cut off")
	}
	var least uint64
	switch size {
	case 1:
		n, least = uint64(rest[0]), 24
	case 2:
		n, least = uint64(binary.BigEndian.Uint16(rest)), math.MaxUint8+1
	case 4:
		n, least = uint64(binary.BigEndian.Uint32(rest)), math.MaxUint16+1
	default:
		n, least = binary.BigEndian.Uint64(rest), math.MaxUint32+1
	}
	if n < least {
		return 0, 0, r.fail("%d in %d bytes, which is not its shortest form", n, size)
	}
	r.at += 1 + size
	return major, n, nil
}

// length reads the head of an item of a known kind whose length or count cannot be
// more than the bytes that are left.
func (r *reader) length(want byte) (int, error) {
	start := r.at
	major, n, err := r.head()
	if err != nil {
		return 0, err
	}
	if major != want || n > uint64(len(r.data)-r.at) {
		left := len(r.data) - r.at
		if r.at = start; major != want {
			return 0, r.fail("%s where %s belongs", majorNames[major>>5], majorNames[want>>5])
		}
		return 0, r.fail("%s of %d where %d bytes are left", majorNames[want>>5], n, left)
	}
	return int(n), nil
}

func readBool(r *reader, v reflect.Value) error {
	b := r.peek()
	if b != simpleFalse && b != simpleTrue {
		return r.fail("%#02x where false or true belongs", b)
	}
	r.at++
	v.SetBool(b == simpleTrue)
	return nil
}

func readUint(r *reader, v reflect.Value) error {
	start := r.at
	major, n, err := r.head()
	if err != nil {
		return err
	}
	if major != majorUint || v.OverflowUint(n) {
		r.at = start
		return r.fail("%s, not one that %s can hold", majorNames[major>>5], v.Type())
	}
	v.SetUint(n)
	return nil
}

func readInt(r *reader, v reflect.Value) error {
	start := r.at
	major, n, err := r.head()
	if err != nil {
		return err
	}
	i := int64(n)
	if major == majorNeg {
		i = -1 - i
	}
	if major > majorNeg || n > math.MaxInt64 || v.OverflowInt(i) {
		r.at = start
		return r.fail("%s, not one that %s can hold", majorNames[major>>5], v.Type())
	}
	v.SetInt(i)
	return nil
}

// take reads a string of bytes. It shares memory with the data.
func (r *reader) take(major byte) ([]byte, error) {
	n, err := r.length(major)
	if err != nil {
		return nil, err
	}
	r.at += n
	return r.data[r.at-n : r.at], nil
}

func readText(r *reader, v reflect.Value) error {
	s, err := r.take(majorText)
	if err != nil {
		return err
	}
	if !utf8.Valid(s) {
		return r.fail("a text of %d bytes that is not UTF-8", len(s))
	}
	v.SetString(string(s))
	return nil
}

func readBytes(r *reader, v reflect.Value) error {
	s, err := r.take(majorBytes)
	if err != nil {
		return err
	}
	v.SetBytes(append(make([]byte, 0, len(s)), s...))
	return nil
}

func readArray(r *reader, v reflect.Value) error {
	s, err := r.take(majorBytes)
	if err != nil {
		return err
	}
	if len(s) != v.Len() {
		return r.fail("%d bytes, not the %d of %s", len(s), v.Len(), v.Type())
	}
	copy(v.Bytes(), s)
	return nil
}
