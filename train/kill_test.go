//go:build unix

package train_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/layarun/layarun/train"
)

// The test binary is also the trainer that is killed: childDir names its run folder and childFull the step after which
// its disk is full.
const (
	childDir  = "LAYARUN_TEST_TRAIN_DIR"
	childFull = "LAYARUN_TEST_TRAIN_FULL"
)

func killJob(t testing.TB, dir string) train.Job {
	job := newJob(t)
	job.Config.CheckpointEvery = 1 // most of the time is spent writing checkpoints, so most kills hit one
	job.Dir = dir
	return job
}

// TestChild trains in the folder named by the environment, prints a line per step, and is no test of its own.
func TestChild(t *testing.T) {
	dir := os.Getenv(childDir)
	if dir == "" {
		return
	}
	job := killJob(t, dir)
	job.Watch = func(p train.Progress) {
		fmt.Println("step", p.Step)
		if fmt.Sprint(p.Step) == os.Getenv(childFull) {
			fillDisk(t)
		}
	}
	if _, err := train.Run(context.Background(), job); err != nil {
		t.Fatal(err)
	}
}

// fillDisk makes writes beyond the first kilobyte of a file fail from now on, as on a full disk.
func fillDisk(t *testing.T) {
	signal.Ignore(syscall.SIGXFSZ) // so that the write fails and not the process
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 1 << 10, Max: 1 << 10}); err != nil {
		t.Fatal(err)
	}
}

func child(t *testing.T, dir string, env ...string) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestChild$")
	cmd.Env = append(append(os.Environ(), childDir+"="+dir), env...)
	return cmd
}

// runUntil starts a child and kills it when it has told of so many steps; it may be anywhere by the time the signal
// arrives. It reports whether the child came to its end before.
func runUntil(t *testing.T, dir string, steps int) (ended bool) {
	cmd := child(t, dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for told := 0; told < steps && lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "step") {
			told++
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Log(err) // it has ended
	}
	return cmd.Wait() == nil
}

func TestKilledRunEndsWithTheSameBits(t *testing.T) {
	want := mustRun(t, killJob(t, ""))
	const seed = 1
	rng := rand.New(rand.NewPCG(seed, 0))
	kills := 0
	for kills < 6 {
		dir := t.TempDir()
		for range 3 {
			if runUntil(t, dir, rng.IntN(8)) { // 0: during start or resumption
				break
			}
			kills++
		}
		got := mustRun(t, killJob(t, dir))
		wantSameBits(t, got, want)
		wantMetrics(t, dir, got.Epochs)
		if half, err := filepath.Glob(filepath.Join(dir, "checkpoints", ".new-*")); err != nil || len(half) > 0 {
			t.Errorf("half-written checkpoints are left: %v (%v)", half, err)
		}
	}
}

func TestFullDiskLeavesTheOlderCheckpoints(t *testing.T) {
	dir := t.TempDir()
	out, err := child(t, dir, childFull+"=7").CombinedOutput()
	if err == nil || !bytes.Contains(out, []byte("train: checkpoint at step 7")) || !bytes.Contains(out, []byte("file too large")) {
		t.Fatalf("the child ended with %v and said %s, want the checkpoint's error", err, out)
	}
	if names := checkpointsOf(t, dir); len(names) != 2 || !strings.HasSuffix(names[1], "step-000000006") {
		t.Fatalf("checkpoints %v, want the last one of step 6", names)
	}
	wantSameBits(t, mustRun(t, killJob(t, dir)), mustRun(t, killJob(t, "")))
}
