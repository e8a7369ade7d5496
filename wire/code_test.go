package wire

import "testing"

// What a peer sends as a code is never taken for another code by cutting it off.
func TestCodeOf(t *testing.T) {
	for number, want := range map[uint64]string{
		0: "", uint64(ChannelFrozen): "channel_frozen", uint64(len(codeNames)): "unknown", 1<<16 - 1: "unknown",
		1<<16 + uint64(ChannelFrozen): "unknown", 1 << 32: "unknown", 1<<64 - 1: "unknown",
	} {
		if got := CodeOf(number).String(); got != want {
			t.Errorf("%d is %q, want %q", number, got, want)
		}
	}
}
