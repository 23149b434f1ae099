package main

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// drainPatience bounds the wait for the last output: a process that left the group may keep the pipes open.
const drainPatience = 300 * time.Millisecond

type processSpec struct {
	argv []string
	dir  string
	env  []string
	read func(stream string, from io.Reader) // runs to the end of each stream
}

// process is the leader of a process group of its own.
type process struct {
	pid     int
	cmd     *exec.Cmd
	outputs []*os.File
	drained chan struct{}
}

// children are processes somebody waits for; as process 1 the agent reaps all others.
var children = struct {
	sync.Mutex
	pids map[int]bool
}{pids: map[int]bool{}}

var launches = make(chan func())

func init() {
	// Linux ends a child with the thread that started it (see bindToAgent), so one thread that never ends starts all.
	go func() {
		runtime.LockOSThread()
		for launch := range launches {
			launch()
		}
	}()
}

func startProcess(spec processSpec) (*process, error) {
	program, err := lookPath(spec.argv[0], spec.env)
	if err != nil {
		return nil, err
	}
	cmd := &exec.Cmd{Path: program, Args: spec.argv, Dir: spec.dir, Env: spec.env, SysProcAttr: ownGroup()}
	p := &process{cmd: cmd, drained: make(chan struct{})}
	written, err := p.connect()
	if err == nil {
		err = launch(cmd)
	}
	for _, file := range written {
		file.Close()
	}
	if err != nil {
		p.closeOutputs()
		return nil, err
	}
	p.pid = cmd.Process.Pid
	p.pump(spec.read)
	return p, nil
}

// connect makes the output pipes; the ends it answers belong to the child.
func (p *process) connect() ([]*os.File, error) {
	var written []*os.File
	for _, end := range []*io.Writer{&p.cmd.Stdout, &p.cmd.Stderr} {
		from, to, err := os.Pipe()
		if err != nil {
			return written, err
		}
		p.outputs = append(p.outputs, from)
		written = append(written, to)
		*end = to
	}
	return written, nil
}

func launch(cmd *exec.Cmd) error {
	done := make(chan error)
	launches <- func() {
		children.Lock()
		defer children.Unlock()
		err := cmd.Start()
		if err == nil {
			children.pids[cmd.Process.Pid] = true
		}
		done <- err
	}
	return <-done
}

func (p *process) pump(read func(string, io.Reader)) {
	var readers sync.WaitGroup
	for index, stream := range []string{"out", "err"} {
		readers.Add(1)
		go func(stream string, from io.Reader) {
			defer readers.Done()
			read(stream, from)
		}(stream, p.outputs[index])
	}
	go func() {
		readers.Wait()
		close(p.drained)
	}()
}

// wait answers the exit code, or the name of the signal that ended the process.
func (p *process) wait() (code int, signal string) {
	_ = p.cmd.Wait() // An exit code is no error here, and there is nothing else to copy or close.
	children.Lock()
	delete(children.pids, p.pid)
	children.Unlock()
	if status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return -1, signalName(status.Signal())
	}
	return p.cmd.ProcessState.ExitCode(), ""
}

// drain waits for the last output and closes the pipes.
func (p *process) drain() {
	select {
	case <-p.drained:
	case <-time.After(drainPatience):
	}
	p.closeOutputs()
	<-p.drained
}

func (p *process) closeOutputs() {
	for _, file := range p.outputs {
		file.Close()
	}
}

func signalName(signal syscall.Signal) string {
	names := map[syscall.Signal]string{
		syscall.SIGABRT: "SIGABRT", syscall.SIGBUS: "SIGBUS", syscall.SIGFPE: "SIGFPE", syscall.SIGHUP: "SIGHUP",
		syscall.SIGILL: "SIGILL", syscall.SIGINT: "SIGINT", syscall.SIGKILL: "SIGKILL", syscall.SIGPIPE: "SIGPIPE",
		syscall.SIGQUIT: "SIGQUIT", syscall.SIGSEGV: "SIGSEGV", syscall.SIGTERM: "SIGTERM",
	}
	if name, known := names[signal]; known {
		return name
	}
	return signal.String()
}

// lookPath finds a bare name on the PATH of the environment the program will have.
func lookPath(name string, env []string) (string, error) {
	if strings.ContainsRune(name, filepath.Separator) {
		_, err := os.Stat(name)
		return name, err
	}
	path := os.Getenv("PATH")
	for _, entry := range env {
		if value, found := strings.CutPrefix(entry, "PATH="); found {
			path = value
		}
	}
	for _, dir := range filepath.SplitList(path) {
		// With a separator in the name this only checks that it is a program.
		if found, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return found, nil
		}
	}
	return "", errors.Join(exec.ErrNotFound, errors.New(name))
}
