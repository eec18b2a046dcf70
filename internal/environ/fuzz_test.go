package environ

import (
	"slices"
	"strings"
	"testing"
)

// Whatever the user's lists hold, they keep it, and ours is added once.
func FuzzLists(f *testing.F) {
	f.Add("a.example,.b, 127.0.0.1")
	f.Add("*")
	f.Add(",,")
	f.Add("k=v,forkspan.run.id=OLD")
	f.Fuzz(func(t *testing.T, list string) {
		hosts := []string{"127.0.0.1", "localhost"}
		got := withHosts(list, hosts)
		if withHosts(got, hosts) != got {
			t.Errorf("%q grows to %q and then %q", list, got, withHosts(got, hosts))
		}
		kept := strings.Split(got, ",")
		for item := range strings.SplitSeq(list, ",") {
			if item = strings.TrimSpace(item); item != "" && !slices.ContainsFunc(kept, func(s string) bool {
				return strings.TrimSpace(s) == item
			}) {
				t.Errorf("%q lost %q: %q", list, item, got)
			}
		}
		attributes := withRunAttribute(list, "7K3F")
		if n := strings.Count(attributes, RunAttribute+"=7K3F"); n < 1 || !strings.HasSuffix(attributes, RunAttribute+"=7K3F") {
			t.Errorf("%q becomes %q", list, attributes)
		}
		if withRunAttribute(attributes, "7K3F") != attributes {
			t.Errorf("%q is not stable", attributes)
		}
	})
}
