package proxy

import (
	"io"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
)

func openBrotli(r io.Reader) (io.Reader, error) { return brotli.NewReader(r), nil }

// openZstd decodes without goroutines: with one that reads ahead, events would get wrong times.
func openZstd(r io.Reader) (io.Reader, error) {
	d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(8<<20)) // what RFC 9659 asks of HTTP clients
	if err != nil {
		return nil, err
	}
	return d.IOReadCloser(), nil
}
