package cli

import (
	"encoding/json"
	"io"

	"forkspan.dev/forkspan/internal/lineage"
	"forkspan.dev/forkspan/internal/proctree"
	"forkspan.dev/forkspan/internal/store"
	"forkspan.dev/forkspan/internal/timeline"
)

// jsonOSProcess is one process of a run's tree.
type jsonOSProcess struct {
	PID         int         `json:"pid"`
	Parent      *int        `json:"parent,omitempty"` // index into the tree
	Program     string      `json:"program"`
	Command     []string    `json:"command,omitempty"`
	Start       string      `json:"start,omitempty"`
	Exec        string      `json:"exec,omitempty"`
	End         string      `json:"end,omitempty"`
	Exit        *store.Exit `json:"exit,omitempty"`
	OutOfMemory bool        `json:"outOfMemory,omitempty"`
	UserNs      int64       `json:"userNs,omitempty"`
	SystemNs    int64       `json:"systemNs,omitempty"`
	MemoryBytes int64       `json:"memoryBytes,omitempty"`
	FirstSpan   string      `json:"firstSpan,omitempty"`
	ToFirstNs   int64       `json:"toFirstSpanNs,omitempty"`
	Spans       int64       `json:"spans"`
	Silent      bool        `json:"silent,omitempty"`
	Fleeting    bool        `json:"fleeting,omitempty"`
}

type jsonCoverage struct {
	Unwatched bool  `json:"unwatched,omitempty"`
	Events    bool  `json:"events"`
	StepNs    int64 `json:"stepNs,omitempty"`
	Forks     int64 `json:"forks,omitempty"`
	Missed    int64 `json:"missed,omitempty"`
	Beyond    int64 `json:"beyond,omitempty"`
}

// jsonTree is the part of a document that tells of a run's processes.
type jsonTree struct {
	Coverage *jsonCoverage   `json:"coverage,omitempty"`
	Tree     []jsonOSProcess `json:"tree,omitempty"`
}

func treeJSON(src *source) jsonTree {
	var doc jsonTree
	if src.run != nil && src.run.Account.Coverage != nil {
		c := src.run.Account.Coverage
		doc.Coverage = &jsonCoverage{c.Unwatched, c.Events, int64(c.Step), c.Forks, c.Missed, c.Beyond}
	}
	index := make(map[proctree.ID]int, len(src.tree))
	for i := range src.tree {
		index[src.tree[i].ID] = i
	}
	fleeting := lineage.Fleeting(src.tree)
	for i := range src.tree {
		p := &src.tree[i]
		j := jsonOSProcess{
			PID: p.PID, Program: p.Program, Command: p.Args, Start: jsonTime(p.Started), Exec: jsonTime(p.Execed), End: jsonTime(p.Ended),
			OutOfMemory: p.OOMKilled, UserNs: int64(p.User), SystemNs: int64(p.System), MemoryBytes: p.MaxRSS,
			FirstSpan: jsonTime(p.FirstSpan), Spans: p.Spans, Silent: p.Silent, Fleeting: fleeting[i],
		}
		if parent, ok := index[p.Parent]; ok {
			j.Parent = &parent
		}
		if p.Exited {
			j.Exit = &store.Exit{Code: p.Code, Signal: p.Signal}
		}
		if !p.FirstSpan.IsZero() && !p.Started.IsZero() {
			j.ToFirstNs = max(0, p.FirstSpan.Sub(p.Started).Nanoseconds())
		}
		doc.Tree = append(doc.Tree, j)
	}
	return doc
}

// writeTreeJSON prints the document of processes alone.
func writeTreeJSON(out io.Writer, src *source) error {
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(struct {
		Version int      `json:"version"`
		Run     *jsonRun `json:"run,omitempty"`
		jsonTree
	}{jsonVersion, src.runJSON(), treeJSON(src)})
}

// treeIndices are where a lane's processes stand in a run's tree.
func treeIndices(p *timeline.Process, tree []store.Process) []int {
	var indices []int
	for _, known := range p.System() {
		for i := range tree {
			if tree[i].PID == known.PID && unixOf(tree[i].Started) == known.Started {
				indices = append(indices, i)
			}
		}
	}
	return indices
}
