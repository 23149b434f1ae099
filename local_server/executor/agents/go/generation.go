package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

type state int

const (
	starting state = iota
	ready
	failing
	stopping
	gone
)

const (
	probeEvery      = 2 * time.Millisecond
	probeLaterEvery = 20 * time.Millisecond
	probeSoonFor    = 500 * time.Millisecond
	lookAroundEvery = 250 * time.Millisecond
	// A program may open a port for metrics before it opens $PORT.
	elsewherePatience = 3 * time.Second
)

// failure is why a generation did not become ready.
type failure struct {
	kind, message, traceback string
}

// generation is one process group. Its fields belong to the agent's goroutine; its own goroutines send acts to it.
type generation struct {
	order     message
	state     state
	port      int
	acts      chan<- func()
	onGone    func(*generation)
	process   *process
	logs      *logs
	failure   *failure
	orderedAt time.Time
	timers    []*time.Timer
	over      chan struct{} // closed once it is no longer starting
}

func newGeneration(order message, acts chan<- func(), onGone func(*generation)) *generation {
	return &generation{
		order: order, acts: acts, onGone: onGone, orderedAt: time.Now(),
		logs: newLogs(order.Gen), over: make(chan struct{}),
	}
}

func (g *generation) start(taken map[int]bool) {
	if info, err := os.Stat(g.order.Dir); err != nil || !info.IsDir() {
		g.refuse("entry", "There is no directory "+g.order.Dir)
		return
	}
	if len(g.order.Command) == 0 {
		g.refuse("entry", "A compiled program is started by its command; none was given")
		return
	}
	port, free := reservePort(g.order.Host, g.order.Port, taken)
	if !free {
		g.refuse("port", fmt.Sprintf("port %d is in use", g.order.Port))
		return
	}
	g.port = port
	argv, env := g.commandLine()
	started, err := startProcess(processSpec{argv: argv, dir: g.order.Dir, env: env, read: g.logs.read})
	if err != nil {
		g.refuse("entry", notStarted(argv[0], err))
		return
	}
	g.process = started
	g.after(g.order.timeout(), g.timeOut)
	go g.awaitPort(started, time.Now())
	go func() {
		code, signal := started.wait()
		g.acts <- func() { g.ended(code, signal) }
	}()
}

var variable = regexp.MustCompile(`\$(?:\{(?:PORT|HOST)\}|(?:PORT|HOST)\b)`)

func (g *generation) commandLine() (argv []string, env []string) {
	own := map[string]string{"PORT": fmt.Sprint(g.port), "HOST": g.order.Host}
	for _, word := range g.order.Command {
		argv = append(argv, variable.ReplaceAllStringFunc(word, func(found string) string {
			return own[strings.Trim(found, "${}")]
		}))
	}
	env = environment(g.order.Env, own)
	// A bare name is looked for on the program's own PATH, and a relative one from the program's directory.
	if strings.ContainsRune(argv[0], filepath.Separator) && !filepath.IsAbs(argv[0]) {
		argv[0] = filepath.Join(g.order.Dir, argv[0])
	}
	return argv, env
}

// environment is the agent's own with others laid over it, the later the stronger.
func environment(overlays ...map[string]string) []string {
	env := []string{}
	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, "APIMARKET_EXIT_ON_EOF=") {
			env = append(env, entry)
		}
	}
	for _, overlay := range overlays {
		for name, value := range overlay {
			env = append(env, name+"="+value)
		}
	}
	return env
}

func notStarted(program string, err error) string {
	if os.IsNotExist(err) || strings.Contains(err.Error(), exec.ErrNotFound.Error()) {
		return fmt.Sprintf("There is no program %s in the project or on PATH", program)
	}
	return fmt.Sprintf("%s cannot be started: %v", program, err)
}

// awaitPort probes until the port accepts, or the start is over in another way.
func (g *generation) awaitPort(started *process, startedAt time.Time) {
	host := dialled(g.order.Host)
	lookAt := startedAt.Add(lookAroundEvery)
	var elsewhereSince time.Time
	for {
		if accepts(host, g.port) {
			g.acts <- func() { g.becomeReady(startedAt) }
			return
		}
		if now := time.Now(); now.After(lookAt) {
			lookAt = now.Add(lookAroundEvery)
			elsewhereSince = g.lookAround(started, elsewhereSince)
		}
		pause := probeEvery
		if time.Since(startedAt) > probeSoonFor {
			pause = probeLaterEvery
		}
		select {
		case <-g.over:
			return
		case <-time.After(pause):
		}
	}
}

// lookAround fails the start when the program has been listening elsewhere for some time, and not on $PORT.
func (g *generation) lookAround(started *process, since time.Time) time.Time {
	where := elsewhere(started.pid, g.port, g.order.Host)
	if where == "" {
		return time.Time{}
	}
	if since.IsZero() {
		return time.Now()
	}
	if time.Since(since) > min(elsewherePatience, g.order.timeout()/2) {
		g.acts <- func() { g.fail("port", where) }
	}
	return since
}

func (g *generation) timeOut() {
	if g.state != starting {
		return
	}
	if where := elsewhere(g.process.pid, g.port, g.order.Host); where != "" {
		g.fail("port", where)
		return
	}
	g.fail("timeout", fmt.Sprintf("nothing listens on $PORT (%d) after %v", g.port, g.order.timeout()))
}

func (g *generation) becomeReady(startedAt time.Time) {
	if g.state != starting {
		return
	}
	g.leaveStarting(ready)
	say(map[string]any{
		"t": "ready", "gen": g.order.Gen, "port": g.port, "kind": "command", "advice": []string{},
		"ms": map[string]float64{
			"import": milliseconds(startedAt.Sub(g.orderedAt)), "ready": milliseconds(time.Since(startedAt)),
		},
	})
}

func (g *generation) leaveStarting(next state) {
	if g.state == starting {
		close(g.over)
	}
	g.state = next
	for _, timer := range g.timers {
		timer.Stop()
	}
	g.timers = nil
}

// stop sends SIGTERM to the group now and SIGKILL after the grace time.
func (g *generation) stop(grace time.Duration) {
	g.leaveStarting(stopping)
	g.process.signalGroup(terminate)
	g.after(grace, func() { g.process.signalGroup(kill) })
}

func (g *generation) fail(kind, text string) {
	if g.state != starting {
		return
	}
	g.leaveStarting(failing)
	g.failure = &failure{kind, text, g.logs.lastErrors()}
	g.process.signalGroup(kill)
}

// refuse fails before there is a process.
func (g *generation) refuse(kind, text string) {
	g.leaveStarting(failing)
	g.failure = &failure{kind: kind, message: text}
	g.report(-1, "")
}

// ended runs when the leader of the group is gone: what it left behind goes too, and its last words come first.
func (g *generation) ended(code int, signal string) {
	g.process.signalGroup(kill)
	close(g.logs.finishing)
	go func() {
		g.process.drain()
		g.logs.finish()
		g.acts <- func() { g.report(code, signal) }
	}()
}

func (g *generation) report(code int, signal string) {
	before := g.state
	g.leaveStarting(gone)
	switch before {
	case stopping:
		say(map[string]any{"t": "stopped", "gen": g.order.Gen})
	case ready:
		answer := map[string]any{"t": "exited", "gen": g.order.Gen, "code": code, "signal": nil}
		if signal != "" {
			answer["code"], answer["signal"] = nil, signal
		}
		say(answer)
	default:
		f := g.failure
		if f == nil {
			f = &failure{"exit", earlyExit(code, signal), g.logs.lastErrors()}
		}
		say(map[string]any{
			"t": "failed", "gen": g.order.Gen, "kind": f.kind, "message": f.message,
			"file": nil, "line": nil, "traceback": strings.ReplaceAll(f.traceback, g.order.Dir+"/", ""),
		})
	}
	g.onGone(g)
}

func earlyExit(code int, signal string) string {
	if signal != "" {
		return fmt.Sprintf("The program was ended by %s before it accepted connections", signal)
	}
	return fmt.Sprintf("The program ended with code %d before it accepted connections", code)
}

func (g *generation) after(d time.Duration, act func()) {
	g.timers = append(g.timers, time.AfterFunc(d, func() { g.acts <- act }))
}
