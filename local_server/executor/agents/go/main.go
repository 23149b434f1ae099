// The first process of a Go sandbox, and the builder of Go programs (docs/agent-protocol.md).
//
// It runs any program by its command line. It is compiled with the toolchain at hand and needs nothing else.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"
)

const (
	agentVersion = 1
	signalGrace  = 5 * time.Second
)

// agent is used by one goroutine only, the one that runs `run`; everything else reaches it through `acts`.
type agent struct {
	generations map[int]*generation
	builds      map[int]*build
	acts        chan func()
	ending      bool
}

func main() {
	a := &agent{generations: map[int]*generation{}, builds: map[int]*build{}, acts: make(chan func(), 64)}
	if os.Getpid() == 1 {
		go reapOrphans()
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	go func() {
		for range signals {
			a.acts <- func() { a.shutDown(signalGrace) }
		}
	}()
	go a.listen()
	a.sayHello()
	for act := range a.acts {
		act()
	}
}

// listen passes messages on until the end of standard input.
func (a *agent) listen() {
	exitOnEOF := os.Getenv("APIMARKET_EXIT_ON_EOF") == "1"
	readMessages(os.Stdin, func(m message) { a.acts <- func() { a.obey(m) } })
	if exitOnEOF {
		a.acts <- func() { a.shutDown(signalGrace) }
	}
}

func (a *agent) obey(m message) {
	switch m.T {
	case "hello":
		a.sayHello()
	case "start":
		a.start(m)
	case "stop":
		if g, known := a.generations[m.Gen]; known {
			g.stop(m.grace(10 * time.Second))
		} else {
			say(map[string]any{"t": "stopped", "gen": m.Gen})
		}
	case "build":
		a.build(m)
	case "cancel-build":
		if b, known := a.builds[m.ID]; known {
			b.cancel()
		} else {
			say(cancelled(m.ID))
		}
	case "shutdown":
		a.shutDown(m.grace(signalGrace))
	default:
		remark("err", fmt.Sprintf("The agent does not know the message %s", m.T))
	}
}

func (a *agent) start(m message) {
	if _, known := a.generations[m.Gen]; known || a.ending {
		return
	}
	taken := map[int]bool{}
	for _, g := range a.generations {
		taken[g.port] = true
	}
	g := newGeneration(m, a.acts, func(g *generation) {
		delete(a.generations, g.order.Gen)
		a.leaveWhenEmpty()
	})
	a.generations[m.Gen] = g
	g.start(taken)
}

func (a *agent) build(m message) {
	if _, known := a.builds[m.ID]; known || a.ending {
		return
	}
	b := newBuild(m)
	a.builds[m.ID] = b
	go func() {
		answer := b.run()
		a.acts <- func() {
			delete(a.builds, m.ID)
			say(answer)
			a.leaveWhenEmpty()
		}
	}()
}

func (a *agent) sayHello() {
	gens := []map[string]int{}
	for _, g := range a.generations {
		if g.state == ready {
			gens = append(gens, map[string]int{"gen": g.order.Gen, "port": g.port})
		}
	}
	version := "go " + strings.TrimPrefix(runtime.Version(), "go")
	say(map[string]any{"t": "hello", "agent": agentVersion, "runtime": version, "pid": os.Getpid(), "gens": gens})
}

func (a *agent) shutDown(grace time.Duration) {
	if a.ending {
		return
	}
	a.ending = true
	for _, g := range a.generations {
		g.stop(grace)
	}
	for _, b := range a.builds {
		b.cancel()
	}
	a.leaveWhenEmpty()
}

func (a *agent) leaveWhenEmpty() {
	if a.ending && len(a.generations) == 0 && len(a.builds) == 0 {
		os.Exit(0)
	}
}
