package redact

// Mark stands where a secret was.
const Mark = "[redacted]"

// String returns s without the secrets in it. Applied to its own result it changes nothing.
func String(s string) string {
	found := hintsOfKinds().scan(s)
	for i := 0; found != 0; i, found = i+1, found>>1 {
		if found&1 != 0 {
			s = kinds[i].hide(s)
		}
	}
	return s
}

// Value returns the value of what is called name, as it may be recorded.
func Value(name, value string) string {
	if value != "" && SecretName(name) && !isPlace(name, value) {
		return Mark
	}
	return String(value)
}
