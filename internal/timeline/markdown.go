package timeline

import (
	"fmt"
	"io"
	"strings"
)

// WriteMarkdown writes the waterfall as GitHub-flavoured Markdown, for a CI job's summary: the drawing in a code block 100 columns wide.
// Text of spans cannot leave the block.
func (t *Timeline) WriteMarkdown(w io.Writer) error {
	var text strings.Builder
	if err := t.WriteText(&text, TextOptions{Unicode: true}); err != nil {
		return err
	}
	fence := "```"
	for strings.Contains(text.String(), fence) {
		fence += "`"
	}
	_, err := fmt.Fprintf(w, "%stext\n%s%s\n", fence, text.String(), fence)
	return err
}
