package forward

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
)

// identityBytes is how much is kept of a hash: enough to tell the few backends of one user apart, too little to find out what
// was hashed.
const identityBytes = 4

// identity tells apart who sends to a backend: by the values of its headers, by what of its address is not kept, and by the name
// that its client certificate has, which outlives the certificate. It is empty where nothing says who sends.
func (b *Backend) identity(secret bool) string {
	var parts []string
	if secret {
		parts = append(parts, "address", b.Address)
	}
	for _, name := range slices.Sorted(maps.Keys(b.Headers)) {
		parts = append(parts, "header "+name, b.Headers[name])
	}
	if b.TLS != nil {
		for _, c := range b.TLS.Certificates {
			if c.Leaf != nil {
				parts = append(parts, "certificate", fmt.Sprintf("%x %q %q %q", c.Leaf.RawSubject, c.Leaf.DNSNames, c.Leaf.URIs, c.Leaf.EmailAddresses))
			}
		}
	}
	if len(parts) == 0 {
		return ""
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "forkspan target %q", parts))
	return hex.EncodeToString(sum[:identityBytes])
}
