package genaihttp

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"
)

// strict is a source that must not be read after its end.
type strict struct {
	io.Reader
	t     *testing.T
	ended bool
}

func (s *strict) Read(p []byte) (int, error) {
	if s.ended {
		s.t.Error("read past the end")
	}
	n, err := s.Reader.Read(p)
	s.ended = err != nil
	return n, err
}

func (s *strict) Close() error { return nil }

// TestBody reads bodies of all sizes, in all ways in which readers end.
func TestBody(t *testing.T) {
	ways := map[string]func(io.Reader) io.Reader{
		"plain": func(r io.Reader) io.Reader { return r }, "one byte": iotest.OneByteReader,
		"half": iotest.HalfReader, "end with data": iotest.DataErrReader,
	}
	for name, way := range ways {
		for _, size := range []int{1, 100, 16 << 10, maxBody - 1, maxBody, maxBody + 1, maxBody + 100_000} {
			if name == "one byte" && size > 20_000 {
				continue
			}
			for _, known := range []bool{true, false} {
				want := bytes.Repeat([]byte("0123456789"), size/10+1)[:size]
				length := int64(-1)
				if known {
					length = int64(size)
				}
				b := &body{}
				b.reset(&strict{Reader: way(bytes.NewReader(want)), t: t}, length)
				if len(b.seen()) != 0 {
					t.Error("read before anybody asked")
				}
				got, err := io.ReadAll(b)
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("%s, %d bytes, known %v: got %d, %v", name, size, known, len(got), err)
				}
				if n := len(b.seen()); n != min(size, maxBody) {
					t.Errorf("%s, %d bytes: %d were read ahead", name, size, n)
				}
				for range 2 {
					if n, err := b.Read(make([]byte, 1)); n != 0 || err != io.EOF {
						t.Errorf("after the end: %d, %v", n, err)
					}
				}
				if err := b.Close(); err != nil {
					t.Error(err)
				}
				if _, err := b.Read(make([]byte, 1)); !errors.Is(err, errBodyClosed) {
					t.Errorf("after Close: %v", err)
				}
			}
		}
	}
}

// TestBodyBreaksOff passes on what came, and then the error.
func TestBodyBreaksOff(t *testing.T) {
	broken := errors.New("broken")
	for _, tt := range []struct {
		source io.Reader
		length int64
		want   error
	}{
		{io.MultiReader(bytes.NewReader([]byte("abc")), iotest.ErrReader(broken)), -1, broken},
		{io.MultiReader(bytes.NewReader([]byte("abc")), iotest.ErrReader(broken)), 10, broken},
		{bytes.NewReader([]byte("abc")), 10, io.ErrUnexpectedEOF},
	} {
		b := &body{}
		b.reset(io.NopCloser(tt.source), tt.length)
		got, err := io.ReadAll(b)
		if string(got) != "abc" || !errors.Is(err, tt.want) {
			t.Errorf("%q, %v; want %v", got, err, tt.want)
		}
	}
}
