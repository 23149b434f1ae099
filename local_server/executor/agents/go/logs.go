package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

const (
	linesASecond   = 2000
	longestLogLine = 16 * 1024
	tailLines      = 40
	// Beyond this much a second the program's pipe is no longer read: it waits, and we leave it the CPU.
	leftOutBytesASecond = 4 * 1024 * 1024
)

// logs carries the output of one generation to the server, and holds back a program that floods.
type logs struct {
	gen          int
	mutex        sync.Mutex
	windowEnds   time.Time
	passed       int
	leftOut      int
	leftOutBytes int
	tail         []string
	timer        *time.Timer
	finishing    chan struct{} // closed when the program is gone: nothing is left to slow down
}

func newLogs(gen int) *logs {
	return &logs{gen: gen, finishing: make(chan struct{})}
}

// read passes on one stream, line by line, until its end.
func (l *logs) read(stream string, from io.Reader) {
	buffer := make([]byte, 64*1024)
	var partial []byte
	for {
		n, err := from.Read(buffer)
		rest := buffer[:n]
		for {
			end := bytes.IndexByte(rest, '\n')
			if end < 0 {
				break
			}
			l.line(stream, partial, rest[:end])
			partial, rest = partial[:0], rest[end+1:]
		}
		// What lies beyond the cut is dropped: a program may print without ever ending the line.
		if room := longestLogLine + 1 - len(partial); room > 0 {
			partial = append(partial, rest[:min(room, len(rest))]...)
		}
		if err != nil {
			if len(partial) > 0 {
				l.line(stream, partial, nil)
			}
			return
		}
	}
}

func (l *logs) line(stream string, partial, rest []byte) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.turnWindow()
	if l.passed >= linesASecond {
		l.leaveOut(len(partial) + len(rest))
		return
	}
	l.passed++
	whole := bytes.TrimSuffix(append(append([]byte{}, partial...), rest...), []byte("\r"))
	if len(whole) > longestLogLine {
		whole = whole[:longestLogLine]
	}
	text := string(bytes.ToValidUTF8(whole, []byte("\uFFFD")))
	if stream == "err" {
		l.tail = append(l.tail, text)
		l.tail = l.tail[max(0, len(l.tail)-tailLines):]
	}
	say(map[string]any{"t": "log", "gen": l.gen, "stream": stream, "line": text})
}

func (l *logs) turnWindow() {
	if now := time.Now(); now.After(l.windowEnds) {
		l.sayLeftOut()
		l.windowEnds, l.passed = now.Add(time.Second), 0
	}
}

func (l *logs) leaveOut(size int) {
	l.leftOut++
	l.leftOutBytes += size + 1
	if l.timer == nil {
		l.timer = time.AfterFunc(time.Until(l.windowEnds), func() {
			l.mutex.Lock()
			defer l.mutex.Unlock()
			l.sayLeftOut()
		})
	}
	if l.leftOutBytes > leftOutBytesASecond {
		wait := time.Until(l.windowEnds)
		l.mutex.Unlock()
		select {
		case <-time.After(wait):
		case <-l.finishing:
		}
		l.mutex.Lock()
	}
}

func (l *logs) sayLeftOut() {
	if l.timer != nil {
		l.timer.Stop()
		l.timer = nil
	}
	if l.leftOut == 0 {
		return
	}
	text := fmt.Sprintf("%d lines left out: more than %d a second", l.leftOut, linesASecond)
	l.leftOut, l.leftOutBytes = 0, 0
	say(map[string]any{"t": "log", "gen": l.gen, "stream": "err", "line": text})
}

// finish says what is still to be said, once the streams have ended.
func (l *logs) finish() {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.sayLeftOut()
}

func (l *logs) lastErrors() string {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return strings.Join(l.tail, "\n")
}
