package ident

import (
	"errors"
	"fmt"
	"strings"

	"github.com/tyler-smith/go-bip39"
)

// wordCount is what 32 bytes and 8 bits of checksum take at 11 bits a word.
const wordCount = 24

// NewWords returns the recovery phrase of a master seed: its 256 bits as 24 words
// of BIP-39's English list, separated by single spaces. (The words encode the
// seed itself; BIP-39's step from words to a wallet seed is not used.)
func NewWords(master [32]byte) string {
	words, err := bip39.NewMnemonic(master[:])
	if err != nil {
		panic(fmt.Sprintf("ident: 32 bytes always make 24 words: %v", err))
	}
	return words
}

// ParseWords returns the master seed of a recovery phrase. Capitals and extra
// white space are forgiven. Errors name the word that is not in the list and its
// position, or the number of words, or say that the checksum does not fit; they
// contain no other word.
func ParseWords(s string) (master [32]byte, err error) {
	words := strings.Fields(strings.ToLower(s))
	if len(words) != wordCount {
		return master, fmt.Errorf("recovery phrase has %d words, not %d", len(words), wordCount)
	}
	for i, word := range words {
		if _, ok := bip39.GetWordIndex(word); !ok {
			return master, fmt.Errorf("recovery phrase: word %d, %q, is not in the English BIP-39 list", i+1, shorten(word))
		}
	}
	entropy, err := bip39.EntropyFromMnemonic(strings.Join(words, " "))
	if errors.Is(err, bip39.ErrChecksumIncorrect) {
		return master, errors.New("recovery phrase: the checksum does not fit; a word is wrong, or two changed places")
	}
	if err != nil {
		return master, fmt.Errorf("recovery phrase: %w", err)
	}
	return [32]byte(entropy), nil
}

// shorten keeps an error readable; the longest word of the list has 8 letters.
func shorten(word string) string {
	if runes := []rune(word); len(runes) > 20 {
		return string(runes[:20]) + "…"
	}
	return word
}
