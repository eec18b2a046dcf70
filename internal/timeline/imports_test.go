package timeline

import "testing"

func TestTruncateModule(t *testing.T) {
	const name = "import torch.distributed.tensor"
	for columns, want := range map[int]string{
		31: name, 30: "import …distributed.tensor", 26: "import …distributed.tensor", 25: "import …tensor", 3: "import …tensor",
	} {
		if got := truncateModule(name, columns, "…"); got != want {
			t.Errorf("in %d columns %q, want %q", columns, got, want)
		}
	}
	for _, name := range []string{"import a.b … c.d", "load", "import", ""} {
		if got := truncateModule(name, 1, "…"); got != name {
			t.Errorf("%q has become %q", name, got)
		}
	}
}
