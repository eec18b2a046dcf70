package genai

import (
	"compress/gzip"
	"io"
)

func openGzip(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) }
