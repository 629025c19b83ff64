package bundle

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/layarun/layarun/internal/safetensors"
)

// Save writes the bundle to dir, all of it or nothing: into a folder beside dir, synced to the disk, then renamed. A
// bundle that is there already is renamed aside first and removed last; if the machine stops between the two renames, dir
// is missing and Open says where the older bundle lies. Save refuses what Open would, and refuses to replace a folder that
// holds anything but a bundle. The error names the file.
func (b *Bundle) Save(dir string) error {
	return b.save(dir, func(w io.Writer) io.Writer { return w })
}

// save is Save with every file written through wrap, so that a test can fill the disk.
func (b *Bundle) save(dir string, wrap func(io.Writer) io.Writer) error {
	if err := b.validate(); err != nil {
		return fmt.Errorf("bundle: save %s: %w", dir, err)
	}
	target, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("bundle: save %s: %w", dir, err)
	}
	if err := checkReplaceable(target); err != nil {
		return fmt.Errorf("bundle: save %s: %w", dir, err)
	}
	temp := filepath.Join(filepath.Dir(target), "."+filepath.Base(target)+"."+rand.Text()+".new")
	if err := os.Mkdir(temp, 0o777); err != nil {
		return fmt.Errorf("bundle: save %s: %w", dir, err)
	}
	defer os.RemoveAll(temp) // nothing is left of it once it has been renamed
	if err := b.write(temp, wrap); err != nil {
		return fmt.Errorf("bundle: save %s: %w", dir, err)
	}
	if err := publish(temp, target); err != nil {
		return fmt.Errorf("bundle: save %s: %w", dir, err)
	}
	return nil
}

// write fills the empty folder temp.
func (b *Bundle) write(temp string, wrap func(io.Writer) io.Writer) error {
	files := map[string]fileInfo{}
	put := func(name string, write func(io.Writer) error) error {
		info, err := writeFile(filepath.Join(temp, name), wrap, write)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		files[name] = info
		return nil
	}
	text := func(name string, present bool, v any) error {
		if !present {
			return nil
		}
		data, err := formatJSON(v)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return put(name, writeBytes(data))
	}
	precision, err := b.precision()
	if err != nil {
		return err
	}
	if err := put(weightsFile, func(w io.Writer) error { return safetensors.WriteAs(w, b.Weights, precision) }); err != nil {
		return err
	}
	if b.Tokenizer != nil {
		if err := put(tokenizerFile, writeBytes(b.Tokenizer)); err != nil {
			return err
		}
	}
	if err := errors.Join(
		text(profileFile, b.Profile != nil, b.Profile),
		text(planFile, b.Plan != nil, b.Plan),
		text(policiesFile, len(b.Policies) > 0, b.Policies),
	); err != nil {
		return err
	}
	data, err := formatManifest(b, files)
	if err != nil {
		return fmt.Errorf("%s: %w", manifestFile, err)
	}
	if err := put(manifestFile, writeBytes(data)); err != nil {
		return err
	}
	return syncDir(temp)
}

func writeBytes(data []byte) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	}
}

// writeFile creates path, writes and syncs it.
func writeFile(path string, wrap func(io.Writer) io.Writer, write func(io.Writer) error) (fileInfo, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return fileInfo{}, err
	}
	written := newTally()
	err = write(io.MultiWriter(wrap(f), written))
	if err == nil {
		err = f.Sync()
	}
	return written.info(), errors.Join(err, f.Close())
}

// publish renames temp to target and removes the bundle that was there.
func publish(temp, target string) error {
	aside := ""
	if _, err := os.Lstat(target); err == nil {
		aside = temp[:len(temp)-len(".new")] + ".old"
		if err := os.Rename(target, aside); err != nil {
			return err
		}
	}
	if err := os.Rename(temp, target); err != nil {
		if aside != "" {
			err = errors.Join(err, os.Rename(aside, target))
		}
		return err
	}
	if err := syncDir(filepath.Dir(target)); err != nil {
		return err
	}
	if aside != "" {
		return os.RemoveAll(aside)
	}
	return nil
}

// asidePattern matches the names that publish gives to the bundle it is replacing.
func asidePattern(base string) string { return "." + base + ".*.old" }

// checkReplaceable reports why target must stay: it is neither missing, nor empty, nor a bundle and nothing else.
func checkReplaceable(target string) error {
	info, err := os.Lstat(target)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return errors.New("there is something that is not a folder")
	}
	entries, err := os.ReadDir(target)
	if err != nil {
		return err
	}
	bundle := len(entries) == 0
	for _, e := range entries {
		if e.Name() != manifestFile && !slices.Contains(listed, e.Name()) {
			return fmt.Errorf("the folder holds %s, which is not part of a bundle; nothing was replaced", e.Name())
		}
		bundle = bundle || e.Name() == manifestFile
	}
	if !bundle {
		return fmt.Errorf("the folder holds files but no %s; nothing was replaced", manifestFile)
	}
	return nil
}

// syncDir makes the names in a folder survive a power cut. Windows has no such call and needs none.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
