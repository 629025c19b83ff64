package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
)

// load is how a runtime is driven.
type load struct {
	Batch   int `json:"batch"`   // samples of a call
	Callers int `json:"callers"` // who call at the same time, each once the last call has returned
	Threads int `json:"threads"` // of one call; layarun takes no notice
	// Pass, if not 0, makes a turn of whole passes over the first so many samples, which the callers share.
	Pass int `json:"pass,omitempty"`
}

// stream is what one caller saw.
type stream struct {
	MS      []float64 `json:"ms"`      // of every call
	Seconds float64   `json:"seconds"` // for all of them
}

// contender is a runtime under comparison.
type contender interface {
	// logits are those of the first n samples, [n][classes].
	logits(ctx context.Context, n int) ([][]float32, error)
	// run calls for as long as a turn, each caller from the first sample on, or with Pass until the end of a pass. One call
	// of each caller comes before and is not counted.
	run(ctx context.Context, l load, turn time.Duration) ([]stream, error)
}

// peer is a runtime in a process of its own, peer.py. It is not for use by several goroutines.
type peer struct {
	name          string
	stop          func() error // ends the process
	in            io.WriteCloser
	out           *bufio.Reader
	idle, idleCPU float64 // seconds between its turns, and the processor time it took in them
}

// answer is what peer.py says; each request fills some of it.
type answer struct {
	Error    string            `json:"error"`
	Versions map[string]string `json:"versions"`
	Logits   [][]float32       `json:"logits"`
	Streams  []stream          `json:"streams"`
	Idle     float64           `json:"idle"`
	IdleCPU  float64           `json:"idle_cpu"`
}

// startPeer starts a command that speaks the protocol of peer.py. It ends with ctx.
func startPeer(ctx context.Context, name string, command ...string) (*peer, error) {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return &peer{name: name, stop: cmd.Wait, in: in, out: bufio.NewReader(out)}, nil
}

// close lets the process end and waits for it.
func (p *peer) close() error {
	if err := errors.Join(p.in.Close(), p.stop()); err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	return nil
}

// ask sends one request and reads its answer.
func (p *peer) ask(request any) (answer, error) {
	var a answer
	text, err := json.Marshal(request)
	if err != nil {
		return a, err
	}
	if _, err := p.in.Write(append(text, '\n')); err != nil {
		return a, fmt.Errorf("%s: %w", p.name, err)
	}
	line, err := p.out.ReadBytes('\n')
	if err != nil {
		return a, fmt.Errorf("%s: no answer to %s: %w", p.name, text, err)
	}
	if err := json.Unmarshal(line, &a); err != nil {
		return a, fmt.Errorf("%s: answer to %s: %w", p.name, text, err)
	}
	if a.Error != "" {
		return a, fmt.Errorf("%s: %s: %s", p.name, text, a.Error)
	}
	return a, nil
}

// action is a request.
type action struct {
	Do      string `json:"do"`
	Samples int    `json:"samples,omitempty"`
}

func (p *peer) export() error {
	_, err := p.ask(action{Do: "export"})
	return err
}

func (p *peer) versions() (map[string]string, error) {
	a, err := p.ask(action{Do: "versions"})
	return a.Versions, err
}

func (p *peer) logits(_ context.Context, n int) ([][]float32, error) {
	a, err := p.ask(action{Do: "logits", Samples: n})
	return a.Logits, err
}

func (p *peer) run(_ context.Context, l load, turn time.Duration) ([]stream, error) {
	a, err := p.ask(struct {
		action
		load
		Seconds float64 `json:"seconds"`
	}{action{Do: "time"}, l, turn.Seconds()})
	if err != nil {
		return nil, err
	}
	if err := check(a.Streams, l); err != nil {
		return nil, fmt.Errorf("%s: %w", p.name, err)
	}
	p.idle += a.Idle
	p.idleCPU += a.IdleCPU
	return a.Streams, nil
}

// check refuses streams from which no speed follows.
func check(streams []stream, l load) error {
	if len(streams) != l.Callers {
		return fmt.Errorf("%d streams, want one for each of %d callers", len(streams), l.Callers)
	}
	samples := 0
	for i, s := range streams {
		if l.Pass == 0 && (len(s.MS) == 0 || !(s.Seconds > 0)) {
			return fmt.Errorf("stream %d has %d calls in %v s, want some", i, len(s.MS), s.Seconds)
		}
		samples += l.Batch * len(s.MS)
	}
	if l.Pass > 0 && (samples == 0 || samples%l.Pass != 0) {
		return fmt.Errorf("%d samples, want passes of %d", samples, l.Pass)
	}
	return nil
}
