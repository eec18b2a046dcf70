package store_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"forkspan.dev/forkspan/internal/store"
)

// filled makes a store with some requests and returns its path and content.
func filled(t *testing.T) (path string, content []byte) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "forkspan.db")
	s := open(t, path, store.Options{})
	for range 300 {
		appendRequest(t, s, "R", request(8, randomTrace()))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return path, content
}

// setAside returns the content of the one database that was set aside.
func setAside(t *testing.T, path string) []byte {
	t.Helper()
	files, err := filepath.Glob(path + ".damaged-*")
	if err != nil || len(files) != 1 {
		t.Fatalf("files set aside: %v, %v", files, err)
	}
	content, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func TestDamagedFileIsSetAside(t *testing.T) {
	noise := make([]byte, 1<<20)
	_, _ = rand.Read(noise)
	for name, damage := range map[string]func(content []byte) []byte{
		"noise":             func([]byte) []byte { return noise },
		"a text":            func([]byte) []byte { return []byte(strings.Repeat("not a database\n", 1000)) },
		"noise in the head": func(content []byte) []byte { return append(noise[:100:100], content[100:]...) },
		"noise in the schema": func(content []byte) []byte {
			return append(append(bytes.Clone(content[:100]), noise[:3000]...), content[3100:]...)
		},
	} {
		t.Run(name, func(t *testing.T) {
			path, content := filled(t)
			damaged := damage(content)
			if err := os.WriteFile(path, damaged, 0o600); err != nil {
				t.Fatal(err)
			}
			var told []string
			s := open(t, path, store.Options{Notify: func(msg string) { told = append(told, msg) }})
			defer s.Close()
			if len(told) != 1 || !strings.Contains(told[0], "damaged") {
				t.Errorf("told %q", told)
			}
			if !bytes.Equal(setAside(t, path), damaged) {
				t.Error("the damaged file was changed")
			}
			id := randomTrace()
			appendRequest(t, s, "R", request(3, id))
			if n, spans := count(t, s, id); n != 1 || spans != 3 {
				t.Errorf("the new store has %d requests, %d spans", n, spans)
			}
		})
	}
}

// TestDamageFoundLater damages pages that opening does not look at: the first to stumble over them gets an error, and the next
// to open the file sets it aside.
func TestDamageFoundLater(t *testing.T) {
	path, content := filled(t)
	damaged := bytes.Clone(content)
	const page = 4096
	for at := page; at < len(damaged); at += page {
		if !slices.Contains(schemaPages(content), at/page+1) {
			copy(damaged[at:], bytes.Repeat([]byte{0xff}, page))
		}
	}
	if err := os.WriteFile(path, damaged, 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, path, store.Options{})
	err := s.PutRun(context.Background(), store.Run{ID: store.NewRunID()})
	if err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("PutRun into a damaged file: %v", err)
	}
	_ = s.Close()
	var told []string
	s = open(t, path, store.Options{Notify: func(msg string) { told = append(told, msg) }})
	defer s.Close()
	if len(told) != 1 {
		t.Errorf("told %q", told)
	}
	if !bytes.Equal(setAside(t, path), damaged) {
		t.Error("the damaged file was changed")
	}
	appendRequest(t, s, "R", request(1, randomTrace()))
}

// schemaPages returns the numbers of the pages beside the first that hold the schema (SQLite's file format, "B-tree Pages").
func schemaPages(content []byte) (pages []int) {
	const header, interior = 100, 5
	if content[header] != interior {
		return nil
	}
	number := func(at int) int { return int(binary.BigEndian.Uint32(content[at:])) }
	pages = append(pages, number(header+8))
	for i := range int(binary.BigEndian.Uint16(content[header+3:])) {
		pages = append(pages, number(int(binary.BigEndian.Uint16(content[header+12+2*i:]))))
	}
	return pages
}

// TestDamagedWhileShared opens a damaged file that another process still has open: it must not be moved away under it.
func TestDamagedWhileShared(t *testing.T) {
	path, content := filled(t)
	s := open(t, path, store.Options{})
	defer s.Close()
	damaged := append(bytes.Repeat([]byte{0xff}, 100), content[100:]...)
	if err := os.WriteFile(path, damaged, 0o600); err != nil {
		t.Fatal(err)
	}
	if other, err := store.Open(context.Background(), path, store.Options{}); err == nil {
		other.Close()
		t.Error("opened")
	}
	if files, _ := filepath.Glob(path + ".damaged-*"); len(files) > 0 {
		t.Errorf("set aside: %v", files)
	}
}

// rawDB opens the file without our code.
func rawDB(t *testing.T, path, statements string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(statements); err != nil {
		t.Fatal(err)
	}
}

func TestNewerSchema(t *testing.T) {
	path, _ := filled(t)
	rawDB(t, path, "PRAGMA user_version=99")
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = store.Open(context.Background(), path, store.Options{Notify: func(msg string) { t.Error(msg) }})
	if !errors.Is(err, store.ErrNewer) || !strings.Contains(err.Error(), path) {
		t.Errorf("Open: %v", err)
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the file was changed, %v", err)
	}
}

func TestForeignDatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "other.db")
	rawDB(t, path, "CREATE TABLE bookmark (url TEXT)")
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Open(context.Background(), path, store.Options{Notify: func(msg string) { t.Error(msg) }}); err == nil ||
		!strings.Contains(err.Error(), "not a forkspan database") {
		t.Errorf("Open: %v", err)
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the file was changed, %v", err)
	}
}
