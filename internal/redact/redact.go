package redact

import (
	"regexp"
	"strings"
	"sync"
	"unicode"
)

// Mark stands where a secret was.
const Mark = "[redacted]"

// Args returns a copy of a command's arguments without the secrets in them. The argument after a flag like --api-key is one.
func Args(args []string) []string {
	out := make([]string, len(args))
	next := false // the argument before was a flag that takes a secret
	for i, arg := range args {
		if next && !strings.HasPrefix(arg, "-") {
			out[i], next = Mark, false
			continue
		}
		if i > 0 && userFlags[args[i-1]] && hasPassword(arg) {
			out[i], next = Mark, false
			continue
		}
		next = strings.HasPrefix(arg, "-") && SecretName(arg)
		out[i] = String(arg)
	}
	return out
}

// userFlags are curl's and others' flags that take user:password, or a user alone.
var userFlags = map[string]bool{"-u": true, "--user": true, "-U": true, "--proxy-user": true}

// hasPassword tells user:password from a user alone and from the numbers of a user and a group.
func hasPassword(value string) bool {
	user, password, ok := strings.Cut(value, ":")
	return ok && password != "" && strings.Trim(user+password, "0123456789") != ""
}

// patterns are compiled on first use: most commands that run need them after the child has started.
var patterns = sync.OnceValue(func() (p struct{ userinfo, token, name, value *regexp.Regexp }) {
	p.userinfo = regexp.MustCompile(`([A-Za-z][A-Za-z0-9+.-]*://)[^/\s:@"']*:[^/\s"']*@`)
	p.token = regexp.MustCompile(`\b(?:` + strings.Join([]string{
		`sk-[A-Za-z0-9_-]{12,}`,                                // OpenAI, Anthropic and many servers after them
		`hf_[A-Za-z0-9]{12,}`,                                  // Hugging Face
		`gh[pousr]_[A-Za-z0-9]{16,}|github_pat_\w{16,}`,        // GitHub
		`glpat-[A-Za-z0-9_-]{16,}`,                             // GitLab
		`xox[abeprs]-[A-Za-z0-9-]{10,}`,                        // Slack
		`nvapi-[A-Za-z0-9_-]{16,}`,                             // NVIDIA
		`npm_[A-Za-z0-9]{16,}`,                                 // npm
		`AIza[A-Za-z0-9_-]{30,}`,                               // Google
		`(?:AKIA|ASIA)[A-Z0-9]{16}`,                            // AWS access key
		`eyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*`, // JSON web token
	}, "|") + `)|-----BEGIN [A-Z ]*PRIVATE KEY-----(?s:.*?)(?:-----END [A-Z ]*PRIVATE KEY-----|$)` +
		`|(?i:\b(?:bearer|basic)\s+)[A-Za-z0-9+/=._~-]{8,}`)
	p.name = regexp.MustCompile(`(-{0,2}[A-Za-z_][\w.-]*)(["']?\s*[=:]\s*|\s+)`)
	p.value = regexp.MustCompile(`^(?:"(?:[^"\\]|\\.)*"|'[^']*'|(?i:(?:bearer|basic|token)\s+)?[^\s"'&;]+)`)
	return p
})

// String returns s without the secrets in it.
func String(s string) string {
	p := patterns()
	s = pairs(s, p.name, p.value)
	s = p.userinfo.ReplaceAllString(s, "${1}"+Mark+"@")
	return p.token.ReplaceAllString(s, Mark)
}

// pairs hides the values of NAME=VALUE, "name": "value", Header: value and --flag value in s.
func pairs(s string, namePattern, valuePattern *regexp.Regexp) string {
	var out strings.Builder
	for {
		m := namePattern.FindStringSubmatchIndex(s)
		if m == nil {
			break
		}
		name, sep := s[m[2]:m[3]], s[m[4]:m[5]]
		out.WriteString(s[:m[1]])
		s = s[m[1]:]
		if userFlags[name] {
			if v := valuePattern.FindStringIndex(s); v != nil && hasPassword(strings.Trim(s[:v[1]], `"'`)) {
				out.WriteString(Mark)
				s = s[v[1]:]
			}
			continue
		}
		if !SecretName(name) {
			continue // what follows may be the name of the next pair
		}
		if strings.TrimSpace(sep) == "" && (!strings.HasPrefix(name, "-") || strings.HasPrefix(s, "-")) {
			continue
		}
		if v := valuePattern.FindStringIndex(s); v != nil {
			out.WriteString(Mark)
			s = s[v[1]:]
		}
	}
	out.WriteString(s)
	return out.String()
}

// SecretName reports whether what is called name (a flag, a variable, a header, a field) is a secret by custom.
// Names of files that hold a secret are not, nor are counts of tokens.
func SecretName(name string) bool {
	words := split(name)
	if len(words) == 0 {
		return false
	}
	last := words[len(words)-1]
	switch last {
	case "file", "path", "dir", "name", "type", "id", "ids", "env":
		return false
	}
	for i, word := range words {
		switch word {
		case "authorization", "cookie", "credential", "credentials", "passphrase", "passwd", "pwd":
			return true
		case "key":
			if i > 0 && keyKinds[words[i-1]] {
				return true
			}
		}
		for _, end := range []string{"secret", "secrets", "password", "passwords", "apikey", "secretkey", "accesskey"} {
			if strings.HasSuffix(word, end) {
				return true
			}
		}
	}
	return strings.HasSuffix(last, "token")
}

// keyKinds are the words before "key" that make it a secret; a plain key is a name.
var keyKinds = map[string]bool{
	"api": true, "access": true, "private": true, "secret": true, "signing": true, "encryption": true, "auth": true, "account": true,
}

// split returns the lower-case words of a name in any of the usual spellings.
func split(name string) []string {
	var words []string
	var word []rune
	flush := func() {
		if len(word) > 0 {
			words = append(words, strings.ToLower(string(word)))
			word = word[:0]
		}
	}
	lower := false // the rune before was a lower-case letter
	for _, r := range name {
		if r == '=' || r == ':' {
			break
		}
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			flush()
			lower = false
			continue
		}
		if unicode.IsUpper(r) && lower {
			flush()
		}
		lower = unicode.IsLower(r)
		word = append(word, r)
	}
	flush()
	return words
}
