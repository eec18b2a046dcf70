// Package servers knows the command lines of LLM servers: what they need to export their own spans, and where they
// answer once they are ready.
package servers
