package cli

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"forkspan.dev/forkspan/internal/recovery"
	"forkspan.dev/forkspan/internal/store"
)

// storeFlags say how a command that writes to the store does so.
type storeFlags struct {
	redact  bool
	maxSize byteSize
	maxAge  age
}

// addRedactFlag adds --redact to a command.
func (a *app) addRedactFlag(c *cobra.Command, usage string) {
	c.Flags().BoolVar(&a.storing.redact, "redact", false, usage)
}

// addStoreFlags adds the flags of a command that stores spans of others.
func (a *app) addStoreFlags(c *cobra.Command) {
	a.addRedactFlag(c, "hide secrets in received spans, too, before they are stored or sent on")
	c.Flags().Var(&a.storing.maxSize, "store-max-size", "remove the oldest runs when the store is larger than this `size`: 500MiB, 10GiB (default 2GiB)")
	c.Flags().Var(&a.storing.maxAge, "store-max-age", "remove runs older than this `age`: 12h, 7d, 4w (default 30d)")
}

// storeOptions are how the store is opened by this command; notify is told what the user should know.
func (a *app) storeOptions(notify func(string)) store.Options {
	storing := a.storing
	// Commands without these flags store something, too: the caps are the same for all.
	if storing.maxSize == 0 {
		_ = storing.maxSize.Set(a.Env("FORKSPAN_STORE_MAX_SIZE")) // where it is wrong, commands with the flag say so
	}
	if storing.maxAge == 0 {
		_ = storing.maxAge.Set(a.Env("FORKSPAN_STORE_MAX_AGE"))
	}
	return store.Options{
		MaxBytes: int64(storing.maxSize), MaxAge: time.Duration(storing.maxAge), Redact: storing.redact,
		Alive: stillWriting, Notify: notify,
	}
}

// stillWriting tells whether the forkspan that writes to a run, of whatever kind, is still there.
func stillWriting(run store.Run) bool {
	run.Kind = "run"
	return recovery.Alive(run)
}

// byteSize is a size in bytes with a unit: 500MiB, 10GB, 2G.
type byteSize int64

// leastStore is the smallest cap: below it the store's own pages and journal are all there is room for.
const leastStore = 4 << 20

var byteUnits = []struct {
	suffix string
	bytes  float64
}{
	{"tib", 1 << 40}, {"gib", 1 << 30}, {"mib", 1 << 20}, {"kib", 1 << 10}, {"tb", 1e12}, {"gb", 1e9}, {"mb", 1e6}, {"kb", 1e3},
	{"t", 1 << 40}, {"g", 1 << 30}, {"m", 1 << 20}, {"k", 1 << 10}, {"b", 1}, {"", 1},
}

func (b *byteSize) String() string {
	if b == nil || *b == 0 {
		return ""
	}
	return strconv.FormatInt(int64(*b), 10)
}

func (b *byteSize) Type() string { return "size" }

func (b *byteSize) Set(s string) error {
	text := strings.ToLower(strings.ReplaceAll(s, " ", ""))
	for _, unit := range byteUnits {
		digits, ok := strings.CutSuffix(text, unit.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(digits, 64)
		if err != nil || !(n*unit.bytes < 1<<62) {
			break
		}
		if n*unit.bytes < leastStore {
			return errors.New("want 4MiB or more")
		}
		*b = byteSize(n * unit.bytes)
		return nil
	}
	return errors.New("want a size such as 500MiB or 10GiB")
}
