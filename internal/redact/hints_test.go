package redact

import (
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"testing"
)

// samples returns shortest texts that a pattern matches: one for each of its alternatives and for each member of its small
// classes. The letters ſ and K, which Unicode folds to s and k, are left out: hints do not know them.
func samples(re *syntax.Regexp) []string {
	switch re.Op {
	case syntax.OpLiteral:
		return []string{string(re.Rune)}
	case syntax.OpCharClass:
		if regexp.MustCompile(re.String()).MatchString(" ") {
			return []string{" "}
		}
		var all []rune
		for i := 0; i < len(re.Rune); i += 2 {
			for r := re.Rune[i]; r <= re.Rune[i+1] && len(all) <= 8; r++ {
				if r != 'ſ' && r != '\u212a' {
					all = append(all, r)
				}
			}
		}
		if len(all) > 8 { // a wide one: a member that no hint has in it, if there is any
			all = all[:1]
			for i := 0; i < len(re.Rune); i += 2 {
				if re.Rune[i] <= '0' && '0' <= re.Rune[i+1] {
					all[0] = '0'
				}
			}
		}
		var texts []string
		for _, r := range all {
			texts = append(texts, string(r))
		}
		return texts
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return []string{"0"}
	case syntax.OpCapture:
		return samples(re.Sub[0])
	case syntax.OpQuest:
		return append(samples(re.Sub[0]), "")
	case syntax.OpPlus:
		return samples(re.Sub[0])
	case syntax.OpRepeat:
		texts := samples(re.Sub[0])
		for i := range texts {
			texts[i] = strings.Repeat(texts[i], re.Min)
		}
		return texts
	case syntax.OpAlternate:
		var texts []string
		for _, sub := range re.Sub {
			texts = append(texts, samples(sub)...)
		}
		return texts
	case syntax.OpConcat:
		texts := []string{""}
		for _, sub := range re.Sub {
			var longer []string
			for _, tail := range samples(sub) {
				for _, text := range texts {
					longer = append(longer, text+tail)
				}
			}
			texts = longer
		}
		return texts
	}
	return []string{""} // stars and places like \b
}

// Each word that makes a name a secret's has a hint in it, without which the name would never be looked at.
func TestHintsCoverNames(t *testing.T) {
	words := slices.Concat(secretEnds, []string{"key", "keys", "pass", "token", "tokens"})
	for word := range secretWords {
		words = append(words, word)
	}
	for word := range lastWords {
		words = append(words, word)
	}
	for flag := range userFlags {
		words = append(words, flag)
	}
	for _, word := range words {
		if !slices.ContainsFunc(nameHints, func(hint string) bool { return strings.Contains(strings.ToLower(word), hint) }) {
			t.Errorf("%q has no hint in it", word)
		}
	}
}

// Each text that a kind's pattern matches has one of the kind's hints in it: without, the pattern would never be asked.
func TestHintsCoverPatterns(t *testing.T) {
	for _, k := range kinds {
		if k.pattern == "" {
			continue
		}
		parsed, err := syntax.Parse(k.pattern, syntax.Perl)
		if err != nil {
			t.Fatal(err)
		}
		matches := 0
		for _, text := range samples(parsed) {
			if !regexp.MustCompile(k.pattern).MatchString(text) { // a place like ^ in the middle
				continue
			}
			matches++
			lower := strings.ToLower(text)
			if !slices.ContainsFunc(k.hints, func(hint string) bool { return strings.Contains(lower, hint) }) {
				t.Errorf("%q has none of %q in it", text, k.hints)
			}
		}
		if matches == 0 {
			t.Errorf("no text found for %s", k.pattern)
		}
	}
}
