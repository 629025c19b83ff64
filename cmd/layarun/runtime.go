package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/layarun/layarun"
	"github.com/layarun/layarun/bundle"
	"github.com/layarun/layarun/compile"
	"github.com/layarun/layarun/train"
)

// opened is a runtime with the device that it runs on.
type opened struct {
	*layarun.Runtime
	device *compile.Device
}

func (o *opened) close() error {
	err := o.Close()
	o.device.Close()
	return err
}

// openBundle opens a bundle. Where there is none it says where there may be one: a run folder is easily given instead.
func openBundle(dir string) (*bundle.Bundle, error) {
	b, err := bundle.Open(dir)
	if !errors.Is(err, fs.ErrNotExist) {
		return b, err
	}
	inner := filepath.Join(dir, train.BundleDir)
	if info, fault := os.Stat(inner); fault == nil && info.IsDir() {
		return nil, withHint(err, inner+", the bundle of this run")
	}
	return nil, withHint(err, "layarun train, which writes a bundle")
}

// openRuntime opens a bundle and runs it on the backend that --backend names. The bundle comes without its weights: the
// device has them.
func (a *app) openRuntime(dir string, o layarun.Options) (*bundle.Bundle, *opened, error) {
	return a.openRuntimeWith(dir, func(b *bundle.Bundle, device *compile.Device) (*layarun.Runtime, error) {
		return layarun.New(b, device, o)
	})
}

// openRuntimeWith is openRuntime where start makes the runtime.
func (a *app) openRuntimeWith(dir string, start func(*bundle.Bundle, *compile.Device) (*layarun.Runtime, error)) (*bundle.Bundle, *opened, error) {
	b, err := openBundle(dir)
	if err != nil {
		return nil, nil, err
	}
	device, err := a.openDevice()
	if err != nil {
		return nil, nil, err
	}
	r, err := start(b, device)
	if err != nil {
		device.Close()
		if errors.Is(err, compile.ErrNoHead) {
			err = withHint(err, "layarun train DATA --start "+dir)
		}
		return nil, nil, err
	}
	running := &opened{r, device}
	a.sayBackend(r)
	for name, t := range b.Weights {
		if err := t.FinalizeAll(); err != nil {
			return nil, nil, errors.Join(fmt.Errorf("weight %q: %w", name, err), running.close())
		}
	}
	b.Weights = nil
	return b, running, nil
}
