package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"sync"
	"time"
)

const longestLine = 1024 * 1024

// message is any message of the server.
type message struct {
	T        string            `json:"t"`
	Gen      int               `json:"gen"`
	Dir      string            `json:"dir"`
	Host     string            `json:"host"`
	Port     int               `json:"port"`
	Entry    string            `json:"entry"`
	Command  words             `json:"command"`
	Env      map[string]string `json:"env"`
	TimeoutS float64           `json:"timeout_s"`
	GraceS   *float64          `json:"grace_s"`
	ID       int               `json:"id"`
	Package  string            `json:"package"`
	Output   string            `json:"output"`
}

// words is a command line; a bare string is a program without arguments.
type words []string

func (w *words) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*w = nil
		if one != "" {
			*w = words{one}
		}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(w))
}

func (m message) grace(usual time.Duration) time.Duration {
	if m.GraceS == nil {
		return usual
	}
	return seconds(*m.GraceS)
}

func (m message) timeout() time.Duration {
	if m.TimeoutS <= 0 {
		return 30 * time.Second
	}
	return seconds(m.TimeoutS)
}

func seconds(s float64) time.Duration {
	return time.Duration(s * float64(time.Second))
}

func milliseconds(d time.Duration) float64 {
	return float64(d.Round(100*time.Microsecond)) / float64(time.Millisecond)
}

var saying sync.Mutex

// say sends one message. It waits while the server does not read, which is what slows a program that floods.
func say(fields map[string]any) {
	var line bytes.Buffer
	encoder := json.NewEncoder(&line)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(fields); err != nil {
		panic(err) // Only maps of plain values are ever said.
	}
	saying.Lock()
	defer saying.Unlock()
	// A server that went away is noticed on standard input.
	_, _ = os.Stdout.Write(line.Bytes())
}

// remark says the agent's own words.
func remark(stream, line string) {
	say(map[string]any{"t": "log", "gen": 0, "stream": stream, "line": line})
}

// readMessages calls back for each message until the end of the stream. What is no message is remarked on and left out.
func readMessages(from io.Reader, onMessage func(message)) {
	reader := bufio.NewReaderSize(from, longestLine)
	for {
		line, err := reader.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			for errors.Is(err, bufio.ErrBufferFull) {
				_, err = reader.ReadSlice('\n')
			}
			remark("err", "The agent left out a line longer than 1 MiB")
		} else if len(bytes.TrimSpace(line)) > 0 {
			var m message
			if failure := json.Unmarshal(line, &m); failure == nil && m.T != "" {
				onMessage(m)
			} else {
				remark("err", "The agent left out a line that is not a message: "+cut(line, 200))
			}
		}
		if err != nil {
			return
		}
	}
}

func cut(text []byte, most int) string {
	if len(text) > most {
		text = text[:most]
	}
	return string(bytes.ToValidUTF8(bytes.TrimSpace(text), []byte("\uFFFD")))
}
