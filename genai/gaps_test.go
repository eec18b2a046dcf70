package genai

import (
	"encoding/base64"
	"slices"
	"testing"
	"time"
)

func TestGaps(t *testing.T) {
	var g Gaps
	in := []time.Duration{0, time.Microsecond, 1500 * time.Nanosecond, time.Second, -time.Second, 365 * 24 * time.Hour}
	for _, d := range in {
		g.add(d)
	}
	earlier := g
	g.add(time.Minute)
	want := []time.Duration{0, time.Microsecond, time.Microsecond, time.Second, 0, 24 * time.Hour}
	if got := slices.Collect(earlier.All()); !slices.Equal(got, want) || earlier.Len() != len(want) {
		t.Errorf("got %v, want %v", got, want)
	}
	back, err := ParseGaps(g.String())
	if got := slices.Collect(back.All()); err != nil || !slices.Equal(got, append(want, time.Minute)) || back.Len() != 7 {
		t.Errorf("parsed %v, %v", got, err)
	}
	for range g.All() {
		break
	}
}

func TestGapsAreBounded(t *testing.T) {
	var g Gaps
	for range MaxGaps + 10 {
		g.add(time.Millisecond)
	}
	if n := len(slices.Collect(g.All())); n != MaxGaps || g.Len() != MaxGaps+10 {
		t.Errorf("%d kept of %d", n, g.Len())
	}
}

func FuzzParseGaps(f *testing.F) {
	for _, s := range []string{"", "AA==", "kE6QTg==", "/w==", "?",
		base64.StdEncoding.EncodeToString([]byte{255, 255, 255, 255, 255, 255, 255, 255, 255, 1})} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		g, err := ParseGaps(s)
		if err != nil {
			return
		}
		var again Gaps
		for d := range g.All() {
			if d < 0 || d > 24*time.Hour {
				t.Fatalf("gap of %v", d)
			}
			again.add(d)
		}
		if again.Len() != g.Len() {
			t.Fatalf("%d gaps, then %d", g.Len(), again.Len())
		}
	})
}

func TestMarks(t *testing.T) {
	m := Marks{Received: at(0), FirstToken: at(3), LastToken: at(13), End: at(20)}
	if d, ok := m.TimePerOutputToken(11); !ok || d != step {
		t.Errorf("%v, %v", d, ok)
	}
	for _, n := range []int64{-1, 0, 1} {
		if _, ok := m.TimePerOutputToken(n); ok {
			t.Errorf("time per output token for %d tokens", n)
		}
	}
	if _, ok := m.TimeToFirstEvent(); ok {
		t.Error("there was no event")
	}
	if d, _ := m.TimeToFirstToken(); d != 3*step {
		t.Error(d)
	}
	if d, _ := m.Duration(); d != 20*step {
		t.Error(d)
	}
	if c := (Call{Latency: Latency{PerOutputToken: Some(20 * time.Millisecond)}}); true {
		if v, ok := c.TokensPerSecond(); !ok || v != 50 {
			t.Errorf("%v tokens/s", v)
		}
	}
	if v, ok := new(Call).TokensPerSecond(); ok {
		t.Errorf("%v tokens/s", v)
	}
	if c := (Call{RequestModel: "a"}); c.Model() != "a" {
		t.Error(c.Model())
	}
}
