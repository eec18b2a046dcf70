package doctor

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every check has its id in docs/doctor.md.
func TestChecksAreDocumented(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "doctor.md"))
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	call := regexp.MustCompile(`d\.add\((?:Export|Context|Network|Store|Machine), "([a-z0-9-]+)"`)
	found := 0
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range call.FindAllSubmatch(source, -1) {
			found++
			if id := string(m[1]); !strings.Contains(string(page), "`"+id+"`") && id != "port-" {
				t.Errorf("%s: %s is not in docs/doctor.md", file, id)
			}
		}
	}
	if found < 50 {
		t.Errorf("only %d checks found", found)
	}
}
