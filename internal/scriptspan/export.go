package scriptspan

import (
	"strings"
)

// SpanVariable names the span that `forkspan span end` ends when it is not told one.
const SpanVariable = "FORKSPAN_SPAN"

// Variable is an environment variable, or that there is none of its name.
type Variable struct {
	Name  string `json:"name"`
	Value string `json:"value,omitempty"`
	Set   bool   `json:"set"`
}

// contextVariables are those that a span's start changes.
var contextVariables = [...]string{"TRACEPARENT", "traceparent", "TRACESTATE", "tracestate", SpanVariable}

// Current returns the environment that a span's start is about to change. A value of several lines, or with other control
// characters, is nobody's context, and is not kept.
func Current(lookup func(string) (string, bool)) []Variable {
	variables := make([]Variable, 0, len(contextVariables))
	for _, name := range contextVariables {
		v := Variable{Name: name}
		v.Value, v.Set = lookup(name)
		if strings.ContainsFunc(v.Value, func(r rune) bool { return r < ' ' || r >= 0x7f }) {
			v = Variable{Name: name}
		}
		variables = append(variables, v)
	}
	return variables
}

// Variables is the environment that makes the span the parent of what comes. What is not set before stays away.
func (s *Span) Variables() []Variable {
	var variables []Variable
	for _, before := range s.Before {
		v := Variable{Name: before.Name, Set: true}
		switch before.Name {
		case "TRACESTATE", "tracestate":
			v.Value, v.Set = s.TraceState, s.TraceState != ""
			if !v.Set && !before.Set {
				continue
			}
		default:
			v.Value = s.Traceparent()
		}
		variables = append(variables, v)
	}
	return variables
}

// quoted is a text within single quotes. Backslashes stand outside them: within, they are nothing special to a POSIX shell, but
// to fish, which would run what follows one at the end.
var quoted = strings.NewReplacer("'", `'\''`, `\`, `'\\'`)

// Shell returns lines that a POSIX shell evaluates to have the variables.
func Shell(variables []Variable) string {
	var b strings.Builder
	for _, v := range variables {
		if v.Set {
			b.WriteString("export " + v.Name + "='" + quoted.Replace(v.Value) + "'\n")
		} else {
			b.WriteString("unset " + v.Name + "\n")
		}
	}
	return b.String()
}

// Lines returns the variables as NAME=value lines, as in the file that $GITHUB_ENV names. Such a file cannot unset a variable:
// it becomes empty, which counts as none.
func Lines(variables []Variable) string {
	var b strings.Builder
	for _, v := range variables {
		b.WriteString(v.Name + "=" + v.Value + "\n")
	}
	return b.String()
}
