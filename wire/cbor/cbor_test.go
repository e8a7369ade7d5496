package cbor_test

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	library "github.com/fxamacker/cbor/v2"
	"pgregory.net/rapid"

	"kula/wire/cbor"
)

type id [4]byte

type text string

type leaf struct {
	_ struct{} `cbor:",toarray"`
	N uint64
	T text
}

// every has a member of each kind.
type every struct {
	_     struct{} `cbor:",toarray"`
	Yes   bool
	U8    uint8
	U16   uint16
	U32   uint32
	U64   uint64
	I64   int64
	I8    int8
	Text  text
	Bytes []byte
	ID    id
	IDs   []id
	Texts []string
	Blobs [][]byte
	Leaf  leaf
	Maybe *leaf
	Many  []leaf
	None  struct {
		_ struct{} `cbor:",toarray"`
	}
}

// The library, set to the same spelling.
func writer(t testing.TB) library.EncMode {
	m, err := library.EncOptions{
		Sort: library.SortCoreDeterministic, IndefLength: library.IndefLengthForbidden,
		NilContainers: library.NilContainerAsEmpty, TagsMd: library.TagsForbidden,
	}.EncMode()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func reader(t testing.TB) library.DecMode {
	m, err := library.DecOptions{IndefLength: library.IndefLengthForbidden, TagsMd: library.TagsForbidden, MaxArrayElements: cbor.MaxElements}.DecMode()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func anything() *rapid.Generator[every] {
	edge := rapid.OneOf(rapid.Uint64(), rapid.SampledFrom([]uint64{0, 23, 24, 255, 256, 65535, 65536, math.MaxUint32, math.MaxUint32 + 1, math.MaxUint64}))
	return rapid.Custom(func(t *rapid.T) every {
		lf := rapid.Custom(func(t *rapid.T) leaf { return leaf{N: edge.Draw(t, "n"), T: text(rapid.String().Draw(t, "t"))} })
		four := rapid.Custom(func(t *rapid.T) id { return id(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "id")) })
		e := every{
			Yes: rapid.Bool().Draw(t, "yes"), U8: uint8(edge.Draw(t, "u8")), U16: uint16(edge.Draw(t, "u16")), U32: uint32(edge.Draw(t, "u32")),
			U64: edge.Draw(t, "u64"), I64: int64(edge.Draw(t, "i64")), I8: int8(edge.Draw(t, "i8")), Text: text(rapid.StringN(0, 300, -1).Draw(t, "text")),
			Bytes: rapid.SliceOf(rapid.Byte()).Draw(t, "bytes"), ID: four.Draw(t, "id"), IDs: rapid.SliceOfN(four, 0, 40).Draw(t, "ids"),
			Texts: rapid.SliceOf(rapid.String()).Draw(t, "texts"), Blobs: rapid.SliceOf(rapid.SliceOf(rapid.Byte())).Draw(t, "blobs"),
			Leaf: lf.Draw(t, "leaf"), Many: rapid.SliceOfN(lf, 0, 40).Draw(t, "many"),
		}
		if rapid.Bool().Draw(t, "maybe") {
			m := lf.Draw(t, "maybe leaf")
			e.Maybe = &m
		}
		return e
	})
}

// What is written is what the library writes, and reads as what it was.
func TestAsTheLibraryWrites(t *testing.T) {
	library := writer(t)
	rapid.Check(t, func(t *rapid.T) {
		e := anything().Draw(t, "value")
		got := cbor.Marshal(&e)
		want, err := library.Marshal(&e)
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%x, the library %x (%v)", got, want, err)
		}
		if by := cbor.Marshal(e); !bytes.Equal(by, got) {
			t.Fatalf("by value %x, by pointer %x", by, got)
		}
		var back every
		if err := cbor.Unmarshal(got, &back); err != nil || !reflect.DeepEqual(e, back) {
			t.Fatalf("%+v became %+v (%v)", e, back, err)
		}
		for i := range got {
			if err := cbor.Unmarshal(got[:i], new(every)); !errors.Is(err, cbor.ErrForm) {
				t.Fatalf("the first %d of %d bytes: %v", i, len(got), err)
			}
		}
	})
}

// Whatever the bytes are: accepted exactly if the library reads them and writes the same again.
func FuzzUnmarshal(f *testing.F) {
	write, read := writer(f), reader(f)
	f.Add(cbor.Marshal(&every{Text: "a", IDs: []id{{1}}, Many: []leaf{{N: 1 << 40}}, I8: -3, I64: math.MinInt64}))
	f.Add(cbor.Marshal(&every{Maybe: &leaf{N: 24}, Bytes: make([]byte, 300), Blobs: [][]byte{{1}, nil}}))
	f.Fuzz(func(t *testing.T, data []byte) {
		var mine, other every
		err := cbor.Unmarshal(data, &mine)
		strict := read.Unmarshal(data, &other)
		if strict == nil {
			if again, _ := write.Marshal(&other); !bytes.Equal(again, data) {
				strict = errors.New("written another way")
			}
		}
		if (err == nil) != (strict == nil) {
			t.Fatalf("%x: %v; the library: %v", data, err, strict)
		}
		if err == nil && (!bytes.Equal(cbor.Marshal(&mine), data) || !reflect.DeepEqual(mine, other)) {
			t.Fatalf("%x read as %+v, by the library as %+v", data, mine, other)
		}
	})
}

func TestRefused(t *testing.T) {
	for name, c := range map[string]struct {
		data string
		into any
		want string
	}{
		"a longer form":        {"\x18\x17", new(uint8), "23 in 1 bytes, which is not its shortest form"},
		"too large":            {"\x19\x01\x00", new(uint8), "not one that uint8 can hold"},
		"below zero":           {"\x20", new(uint64), "an integer below 0, not one that uint64 can hold"},
		"beyond int64":         {"\x3b\xff\xff\xff\xff\xff\xff\xff\xff", new(int64), "not one that int64 can hold"},
		"another kind":         {"\x61a", new([]byte), "a text where a byte string belongs"},
		"no UTF-8":             {"\x61\xff", new(string), "a text of 1 bytes that is not UTF-8"},
		"a claimed length":     {"\x5a\x7f\xff\xff\xff", new([]byte), "a byte string of 2147483647 where 0 bytes are left"},
		"too long an array":    {"\x99\x10\x01" + strings.Repeat("\x00", 5000), new([]uint64), "an array of 4097, at most 4096"},
		"the wrong array":      {"\x43abc", new(id), "3 bytes, not the 4 of cbor_test.id"},
		"a member too many":    {"\x83\x01\x61a\x00", new(leaf), "3 members of leaf, which has 2"},
		"a byte after the end": {"\x01\x02", new(uint64), "byte 1: 1 bytes after the end"},
		"nothing":              {"", new(uint64), "byte 0: cut off"},
		"an indefinite length": {"\x9f\xff", new([]uint64), "0x9f begins no item"},
		"half true":            {"\xf6", new(bool), "0xf6 where false or true belongs"},
	} {
		err := cbor.Unmarshal([]byte(c.data), c.into)
		if !errors.Is(err, cbor.ErrForm) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; wanted %q", name, err, c.want)
		}
	}
}

// A count costs nothing to claim, so it must not cost memory.
func TestMemoryFollowsWhatComes(t *testing.T) {
	data := append([]byte("\x99\x10\x00"), bytes.Repeat([]byte{0xff}, 5000)...) // 4,096 elements, the first of which is none
	got := testing.AllocsPerRun(10, func() {
		var many [][4096]byte
		if cbor.Unmarshal(data, &many) == nil {
			t.Fatal("accepted")
		}
		if cap(many) > 64 {
			t.Fatalf("room for %d elements was taken", cap(many))
		}
	})
	if got > 20 {
		t.Errorf("%v allocations", got)
	}
}

func TestTypesWithoutSpelling(t *testing.T) {
	for _, v := range []any{1.5, map[string]int{}, struct{ hidden int }{}, make(chan int), [2]int{}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%T was written", v)
				}
			}()
			cbor.Marshal(v)
		}()
	}
}

// What nobody would read is not written either.
func TestTooLongAnArray(t *testing.T) {
	var back []uint64
	if err := cbor.Unmarshal(cbor.Marshal(make([]uint64, cbor.MaxElements)), &back); err != nil || len(back) != cbor.MaxElements {
		t.Fatalf("%d elements, %v", len(back), err)
	}
	defer func() {
		if recover() == nil {
			t.Error("an array was written that is refused when read")
		}
	}()
	cbor.Marshal(make([]uint64, cbor.MaxElements+1))
}

// BenchmarkLibrary and BenchmarkCBOR do the same work: write a usual value, and read it strictly.
func BenchmarkLibrary(b *testing.B) {
	write, read := writer(b), reader(b)
	e := sample()
	b.ReportAllocs()
	for b.Loop() {
		data, _ := write.Marshal(&e)
		var back every
		if read.Unmarshal(data, &back) != nil {
			b.Fatal("not read")
		}
		if again, _ := write.Marshal(&back); !bytes.Equal(again, data) {
			b.Fatal("not the same")
		}
	}
}

func BenchmarkCBOR(b *testing.B) {
	e := sample()
	b.ReportAllocs()
	for b.Loop() {
		var back every
		if cbor.Unmarshal(cbor.Marshal(&e), &back) != nil {
			b.Fatal("not read")
		}
	}
}

func sample() every {
	return every{U64: 1 << 40, I64: -5, Text: "twenty bytes of text", Bytes: make([]byte, 400), IDs: make([]id, 4), Many: make([]leaf, 3), Texts: []string{"a"}}
}
