package bundle_test

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/layarun/layarun/bundle"
)

func TestSaveReplaces(t *testing.T) {
	b := tiny(t)
	dir := save(t, b)
	b.Name, b.Profile = "second", nil
	if err := b.Save(dir); err != nil {
		t.Fatal(err)
	}
	got, err := bundle.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	checkSame(t, got, b)
	onlyBundleIn(t, filepath.Dir(dir))
}

// onlyBundleIn fails if a save has left something beside b.
func onlyBundleIn(t *testing.T, parent string) {
	t.Helper()
	entries, err := os.ReadDir(parent)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 || entries[0].Name() != "b" {
		t.Errorf("the folder holds %v, want b alone", entries)
	}
}

func TestSaveLeavesOtherFoldersAlone(t *testing.T) {
	b := tiny(t)
	cases := map[string]func(dir string) error{
		"a file":      func(dir string) error { return os.WriteFile(dir, nil, 0o666) },
		"other files": func(dir string) error { return errors.Join(os.Mkdir(dir, 0o777), os.WriteFile(dir+"/x", nil, 0o666)) },
		"no manifest": func(dir string) error {
			return errors.Join(os.Mkdir(dir, 0o777), os.WriteFile(dir+"/plan.json", nil, 0o666))
		},
		"bundle and own": func(dir string) error { return errors.Join(b.Save(dir), os.WriteFile(dir+"/notes.txt", nil, 0o666)) },
		"a link":         func(dir string) error { return os.Symlink("elsewhere", dir) },
	}
	for name, make := range cases {
		t.Run(name, func(t *testing.T) {
			parent := t.TempDir()
			dir := filepath.Join(parent, "b")
			if err := make(dir); err != nil {
				t.Fatal(err)
			}
			if err := b.Save(dir); err == nil || !strings.Contains(err.Error(), dir) {
				t.Errorf("error is %v, want one that names %s", err, dir)
			}
			onlyBundleIn(t, parent)
		})
	}
}

// full is a disk with room for some bytes more.
type full struct {
	io.Writer
	room *int
}

var errFull = errors.New("no space left on device")

func (f full) Write(data []byte) (int, error) {
	if *f.room -= len(data); *f.room < 0 {
		return 0, errFull
	}
	return f.Writer.Write(data)
}

func TestSaveOnFullDisk(t *testing.T) {
	b := tiny(t)
	dir := save(t, b)
	before := contents(t, filepath.Dir(dir))
	size := 0
	for _, text := range before {
		size += len(text)
	}
	b.Name = "next"
	for room := 0; room < size; room += 100 { // "next" is as long as "tiny"
		left := room
		err := b.SaveThrough(dir, func(w io.Writer) io.Writer { return full{w, &left} })
		if !errors.Is(err, errFull) || !strings.Contains(err.Error(), dir) {
			t.Fatalf("room for %d of %d bytes: error is %v, want that of the disk and the folder", room, size, err)
		}
		if !maps.Equal(before, contents(t, filepath.Dir(dir))) {
			t.Fatalf("room for %d of %d bytes: the bundle changed or something was left beside it", room, size)
		}
	}
}

// If the new folder cannot take its place, the old one comes back.
func TestPublishGoesBack(t *testing.T) {
	b := tiny(t)
	dir := save(t, b)
	if err := bundle.Publish(filepath.Join(filepath.Dir(dir), ".b.X.new"), dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error is %v, want that the new folder is missing", err)
	}
	if _, err := bundle.Open(dir); err != nil {
		t.Error(err)
	}
	onlyBundleIn(t, filepath.Dir(dir))
}

func TestSaveInReadOnlyFolder(t *testing.T) {
	parent := t.TempDir()
	if err := os.Chmod(parent, 0o555); err != nil {
		t.Fatal(err)
	}
	if os.Mkdir(filepath.Join(parent, "probe"), 0o777) == nil {
		parent = os.DevNull // a privileged user may write anywhere but below a device
	}
	dir := filepath.Join(parent, "b")
	if err := tiny(t).Save(dir); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("error is %v, want one that names %s", err, dir)
	}
}

func TestOpenTellsOfAnInterruptedSave(t *testing.T) {
	dir := save(t, tiny(t))
	aside := filepath.Join(filepath.Dir(dir), ".b.XYZ.old") // as Save names it
	if err := os.Rename(dir, aside); err != nil {
		t.Fatal(err)
	}
	refused(t, dir, aside)
}
