package timeline

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// longestText is how many bytes of a text are ever drawn; a line of a terminal holds far less.
const longestText = 4096

// Clean makes a text of a span harmless for a terminal: control characters, escape sequences, invalid bytes and characters that
// change the direction of writing become visible escapes. The text stays on one line.
func Clean(s string) string {
	if len(s) > longestText {
		cut := longestText
		for cut > longestText-utf8.UTFMax && !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = s[:cut]
	}
	if plainASCII(s) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			b.WriteString(`\x`)
			b.WriteByte("0123456789abcdef"[s[i]>>4])
			b.WriteByte("0123456789abcdef"[s[i]&15])
		case r == '\n' || r == '\t' || r == '\r' || unicode.Is(unicode.Zs, r):
			b.WriteByte(' ')
		case unicode.IsPrint(r) || r == '\u200d' && i > 0: // the joiner holds emoji together
			b.WriteRune(r)
		default:
			quoted := strconv.QuoteRuneToASCII(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
		i += size
	}
	return b.String()
}

func plainASCII(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
