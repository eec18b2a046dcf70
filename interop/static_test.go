package interop

import (
	"debug/elf"
	"os"
	"strings"
	"testing"
)

// The image is made of one file, so the binary that its build command makes must need no other.
func TestImageBinaryIsStatic(t *testing.T) {
	dockerfile, err := os.ReadFile("../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"RUN make build", "FROM scratch", "COPY --from=build /src/forkspan /forkspan"} {
		if !strings.Contains(string(dockerfile), line+"\n") {
			t.Errorf("the Dockerfile has no line %q", line)
		}
	}
	file, err := elf.Open(ours("forkspan"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, p := range file.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("the binary has a %s segment: it is linked dynamically", p.Type)
		}
	}
}
