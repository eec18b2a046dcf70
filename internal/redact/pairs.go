package redact

import (
	"regexp"
	"slices"
	"strings"
	"sync"
)

var (
	// namePattern is a name with what may stand between it and its value: NAME=, "name": , Header: , name => , ('name', b'…,
	// and a blank after a flag. Of an escaped quotation the backslashes are part of it.
	namePattern = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`(-{0,2}[A-Za-z_][\w.-]*)(\\*["']?\]?[ \t]*(?:=>|:=|==|[=:])[ \t]*|\\*["'],[ \t]*|[ \t]+)`)
	})
	// countPattern is a number that is too short for a secret.
	countPattern = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^(?:[0-9]{1,4}|[0-9]{1,4}\.[0-9]+)(?:m?s)?(?:[\s,;)}\]]|$)`)
	})
	// valuePattern is a value: in quotes (of a cut text without their end), or one word with a scheme before it.
	valuePattern = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^(?:` + quotedPattern + `(?i:(?:bearer|basic|token|digest|negotiate)\s+)?[^\s"'&;\\]+|\\+["']?[^\n]*)`)
	})
	// userPattern is what may be user:password. It reads no further than the next flag of its kind would begin: what it matches
	// is looked at again when it is a user alone.
	userPattern = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^(?:` + quotedPattern + `[^\s"'&;\\]+|\\+["']?[^\s\\]*)`)
	})
)

const quotedPattern = `b?"(?:[^"\\]|\\.)*"|b?'(?:[^'\\]|\\.)*'|\\+".*?\\+"|\\+'.*?\\+'|b?["'][^\n]*|`

// pairs hides the values of NAME=VALUE, "name": "value", Header: value and --flag value in s. The time it takes grows with the
// length of s and no faster: whatever is read beyond a value is not read again for the next.
func pairs(s string) string {
	var out strings.Builder
	names, users := namePattern(), userPattern()
	at, done := 0, 0 // what comes before done is in out
	noBracket := 0   // there is no ] before this place on its line
	for {
		m := names.FindStringSubmatchIndex(s[at:])
		if m == nil {
			break
		}
		name, sep, value := s[at+m[2]:at+m[3]], s[at+m[4]:at+m[5]], s[at+m[1]:]
		begin := at + m[2]
		at += m[1] // what follows may be the name of the next pair
		size := 0
		if userFlags[name] {
			if v := users.FindStringIndex(value); v != nil && hasPassword(strings.Trim(value[:v[1]], `"'`)) {
				size = v[1]
			}
		} else if isPair(name, sep, value) {
			if at >= noBracket && strings.HasPrefix(value, "[") {
				if n := strings.IndexAny(value, "]\n"); n >= 0 && value[n] == ']' {
					size = n + 1
				} else if n >= 0 {
					noBracket = at + n
				} else {
					noBracket = len(s)
				}
			}
			if size == 0 {
				size = valueSize(s, begin, name, sep, value)
			}
		}
		if size > 0 {
			out.WriteString(s[done:at])
			out.WriteString(Mark)
			at += size
			done = at
		}
	}
	if done == 0 {
		return s
	}
	out.WriteString(s[done:])
	return out.String()
}

// isPair tells whether a value belongs to the name before it, and is a secret.
func isPair(name, sep, value string) bool {
	if !SecretName(name) || isPlace(name, strings.TrimLeft(value, `"'`)) {
		return false
	}
	if number := countPattern().FindString(value); number != "" && strings.HasSuffix(strings.ToLower(name), "token") {
		return false // "time to first token: 0.25"
	}
	if sep == ": " && fileError(value) {
		return false // "open /run/secrets/token: no such file or directory"
	}
	if strings.TrimSpace(sep) == "" { // only flags are followed by their value
		return strings.HasPrefix(name, "-") && !strings.HasPrefix(value, "-")
	}
	return true
}

// fileError tells the words in which systems say what is wrong with a file, behind its name.
func fileError(text string) bool {
	return slices.ContainsFunc([]string{
		"no such file or directory", "permission denied", "operation not permitted", "is a directory", "not a directory", "file exists",
		"read-only file system", "file name too long", "too many levels of symbolic links", "input/output error", "no space left on device",
	}, func(words string) bool { return strings.HasPrefix(text, words) })
}

// valueSize is how long the value is that follows the name at begin of s; it is not in brackets.
func valueSize(s string, begin int, name, sep, value string) int {
	colon := strings.Contains(sep, ":") && strings.HasSuffix(sep, " ")
	if colon && isHeader(name) && value != "" && !strings.ContainsRune("\"'[\\", rune(value[0])) {
		ends := "\r\n"
		if begin > 0 && (s[begin-1] == '"' || s[begin-1] == '\'') {
			ends += s[begin-1 : begin]
		}
		if end := strings.IndexAny(value, ends); end >= 0 {
			return len(strings.TrimRight(value[:end], `\`))
		}
		return len(value)
	}
	if v := valuePattern().FindStringIndex(value); v != nil {
		return v[1]
	}
	return 0
}
