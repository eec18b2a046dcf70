package proctree

import "testing"

func TestShellTree(t *testing.T) {
	for name, options := range modes(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, _ := watchCommand(t, options, "sh", "-c", `sh -c 'sleep 0.11; exit 3'; sleep 0.12 & wait; exit 7`)
			root := w.Processes[0]
			child, grandchild, other := w.find(t, "sh|-c|sleep 0.11; exit 3"), w.find(t, "sleep|0.11"), w.find(t, "sleep|0.12")
			for i, p := range []Process{root, child, grandchild, other} {
				if want := []string{"code 7", "code 3", "code 0", "code 0"}[i]; how(p) != want {
					t.Errorf("%v ended with %s, want %s", p.Args, how(p), want)
				}
			}
			if child.Parent != root.ID || grandchild.Parent != child.ID || other.Parent != root.ID {
				t.Errorf("parents are wrong:\n%s", Table(w.Processes))
			}
		})
	}
}
