package endpoint

import (
	"errors"
	"strings"
)

// CheckHeader says why a header, whose key is in lower case, cannot be sent: with one that cannot, every export fails. gRPC
// allows less in names and values than HTTP does, but any bytes where the name ends in -bin ("gRPC over HTTP2",
// "Custom-Metadata"), and none of the headers that belong to a single connection.
func CheckHeader(key, value, protocol string) error {
	if !isToken(key) {
		return errors.New("invalid header name")
	}
	if protocol != GRPC {
		if strings.IndexFunc(value, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }) >= 0 {
			return errors.New("control character in header's value")
		}
		return nil
	}
	switch key {
	case "connection", "content-length", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade":
		return errors.New("a header that gRPC does not have")
	}
	if strings.ContainsAny(key, "!#$%&'*+^`|~") {
		return errors.New("invalid gRPC header name")
	}
	if strings.HasSuffix(key, "-bin") {
		return nil
	}
	if strings.IndexFunc(value, func(c rune) bool { return c < ' ' || c > '~' }) >= 0 {
		return errors.New("character in header's value that gRPC cannot send")
	}
	return nil
}

// isToken reports whether s is a token in the sense of RFC 9110, section 5.6.2.
func isToken(s string) bool {
	for _, c := range []byte(s) {
		if c <= ' ' || c >= 0x7f || strings.IndexByte("\"(),/:;<=>?@[\\]{}", c) >= 0 {
			return false
		}
	}
	return s != ""
}
