package redact

import (
	"slices"
	"strings"
	"unicode"
)

// nameHints are in every name that [SecretName] calls a secret's.
var nameHints = []string{
	"auth", "cookie", "credential", "pass", "pwd", "pw", "secret", "key", "token", "jwt", "pat", "bearer", "sessid", "sessionid", "creds",
	"-u", "--user", "-user", "signature", "psk",
}

// SecretName reports whether what is called name (a flag, a variable, a header, a field) is a secret by custom.
// Names of files that hold a secret are not, nor are counts of tokens.
func SecretName(name string) bool {
	words := split(name)
	if len(words) == 0 {
		return false
	}
	last := words[len(words)-1]
	if aboutSecrets[last] {
		return false
	}
	for i, word := range words {
		before := ""
		if i > 0 {
			before = words[i-1]
		}
		if secretWords[word] {
			return true
		}
		switch word {
		case "key", "keys":
			if keyKinds[before] {
				return true
			}
		case "pass":
			if i == len(words)-1 && !passKinds[before] {
				return true
			}
		case "tokens":
			if tokensKinds[before] {
				return true
			}
		}
		for _, end := range secretEnds {
			if strings.HasSuffix(word, end) {
				return true
			}
		}
	}
	switch {
	case lastWords[last]:
		return true
	case last == "token":
		return len(words) == 1 || !tokenKinds[words[len(words)-2]]
	}
	return strings.HasSuffix(last, "token")
}

// set is words that a map knows.
func set(words ...string) map[string]bool {
	m := make(map[string]bool, len(words))
	for _, w := range words {
		m[w] = true
	}
	return m
}

var (
	// aboutSecrets end names of what is about a secret and none.
	aboutSecrets = set("file", "path", "dir", "name", "type", "id", "ids", "env", "stdin", "prompt", "policy", "length", "ttl",
		"expiry", "expires", "url", "uri", "endpoint", "count", "limit", "format", "algorithm", "version", "size", "mode", "enabled",
		"required", "provider", "helper", "store", "method", "prefix", "host", "port", "users", "user", "username", "scheme", "status",
		"timeout", "interval", "only", "ref", "location", "source")
	secretWords = set("authorization", "cookie", "cookies", "credential", "credentials", "creds", "passphrase", "passwd", "passcode",
		"pwd", "cookie2", "sessionid", "jsessionid", "phpsessid", "sessid", "storepass", "keypass", "userpass", "dbpass", "sshpass",
		"pgpass", "rootpass", "authorizationtoken", "requirepass", "masterauth")
	secretEnds = []string{"secret", "secrets", "password", "passwords", "apikey", "apikeys", "secretkey", "accesskey", "privatekey",
		"accountkey", "authkey", "sharedkey"}
	// lastWords make a name that ends with one of them a secret's.
	lastWords = set("pat", "jwt", "bearer", "pw", "psk")
	// keyKinds are the words before "key" that make it a secret; a plain key is a name.
	keyKinds = set("api", "access", "private", "secret", "signing", "encryption", "auth", "account", "app", "application", "master",
		"shared", "subscription", "functions", "admin", "license", "ingestion", "instrumentation", "storage", "service", "hmac",
		"jwt", "deploy", "webhook", "ssh", "function", "client", "manager", "consumer", "developer", "dev")
	// passKinds are the words before "pass" that make it a step of work.
	passKinds = set("forward", "backward", "first", "second", "third", "by", "multi", "single", "one", "two", "next", "last", "per",
		"compiler", "fusion", "optimization", "graph", "model", "full", "test", "tests", "must", "render", "each", "final")
	// tokenKinds are the words before "token" that make it a piece of text; tokensKinds those before "tokens" that make it secrets.
	tokenKinds = set("total", "completion", "max", "min", "num", "cached", "reasoning", "thinking", "accepted", "rejected", "bonus",
		"speculative", "text", "vision", "first", "last", "next", "per", "output", "input", "prompt", "eos", "bos", "pad", "unk", "sep", "mask", "cls",
		"stop", "special", "image", "audio", "video", "eot", "eom", "think", "placeholder", "decode", "prefill", "generated", "new",
		"each", "every", "draft", "begin", "end", "start", "added", "single")
	tokensKinds = set("auth", "access", "api", "refresh", "bearer", "session", "secret")
)

// isPlace tells a folder from a secret in what is called pwd, which is either.
func isPlace(name, value string) bool {
	words := split(name)
	last := words[len(words)-1]
	return (last == "pwd" || last == "oldpwd") && (strings.HasPrefix(value, "/") || strings.HasPrefix(value, "~") ||
		len(value) > 2 && value[1] == ':' && (value[2] == '\\' || value[2] == '/'))
}

// isHeader tells the names whose value is the rest of a line: it has blanks and semicolons in it.
func isHeader(name string) bool {
	words := split(name)
	return slices.Contains([]string{"authorization", "cookie", "cookie2", "authenticate"}, words[len(words)-1])
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
