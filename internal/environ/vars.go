package environ

import (
	"runtime"
	"slices"
	"strings"
)

// foldCase is whether the names of environment variables are case-insensitive here.
const foldCase = runtime.GOOS == "windows"

// vars is an environment under change. Names keep their order; of duplicates the last value counts, as it does in os/exec.
type vars struct {
	names  []string // as they will be written
	values map[string]string
	fold   bool
}

func newVars(environ []string, fold bool) *vars {
	v := &vars{values: make(map[string]string, len(environ)+16), fold: fold}
	for _, entry := range environ {
		// Windows has hidden variables whose names begin with "=".
		i := strings.IndexByte(entry[min(1, len(entry)):], '=')
		if i < 0 {
			continue
		}
		v.set(entry[:i+1], entry[i+2:])
	}
	return v
}

func (v *vars) key(name string) string {
	if v.fold {
		return strings.ToUpper(name)
	}
	return name
}

func (v *vars) lookup(name string) (string, bool) {
	value, ok := v.values[v.key(name)]
	return value, ok
}

func (v *vars) get(name string) string { return v.values[v.key(name)] }

func (v *vars) set(name, value string) {
	key := v.key(name)
	if _, ok := v.values[key]; !ok {
		v.names = append(v.names, name)
	}
	v.values[key] = value
}

func (v *vars) setDefault(name, value string) {
	if v.get(name) == "" {
		v.set(name, value)
	}
}

func (v *vars) unset(name string) {
	key := v.key(name)
	if _, ok := v.values[key]; !ok {
		return
	}
	delete(v.values, key)
	v.names = slices.DeleteFunc(v.names, func(n string) bool { return v.key(n) == key })
}

// both writes value under the lower- and the upper-case name, or removes both when value is empty.
func (v *vars) both(name, value string) {
	for _, spelling := range []string{strings.ToLower(name), strings.ToUpper(name)} {
		if value == "" {
			v.unset(spelling)
		} else {
			v.set(spelling, value)
		}
	}
}

func (v *vars) environ() []string {
	out := make([]string, len(v.names))
	for i, name := range v.names {
		out[i] = name + "=" + v.values[v.key(name)]
	}
	return out
}

// Lookup returns a function that reads variables of environ, an environment as os.Environ returns it.
func Lookup(environ []string) func(name string) (string, bool) {
	return newVars(environ, foldCase).lookup
}
