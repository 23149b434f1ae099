package main

import (
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// bindToAgent lets the kernel end the process when the agent dies without a chance to do so itself.
func bindToAgent(attributes *syscall.SysProcAttr) {
	attributes.Pdeathsig = syscall.SIGKILL
}

// reapOrphans collects, as process 1, processes whose parents ended before them.
func reapOrphans() {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGCHLD)
	for range ended {
		stats, _ := filepath.Glob("/proc/[0-9]*/stat") // The pattern is well formed, the only error there is.
		children.Lock()
		for _, path := range stats {
			fields, pid := statOf(path)
			if len(fields) > 1 && fields[0] == "Z" && fields[1] == "1" && !children.pids[pid] {
				_, _ = syscall.Wait4(pid, nil, syscall.WNOHANG, nil) // Somebody else's is left alone.
			}
		}
		children.Unlock()
	}
}

// statOf answers the fields of /proc/PID/stat from the third on: state, parent, group, session ...
func statOf(path string) ([]string, int) {
	pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
	if err != nil {
		return nil, 0
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, pid // It ended meanwhile.
	}
	// The second field is the program's name, which may hold blanks and brackets.
	return strings.Fields(string(text)[strings.LastIndexByte(string(text), ')')+1:]), pid
}

// listenedOn tells what the processes of a session listen on.
func listenedOn(session int) []listening {
	inodes := map[string]bool{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		if fields, _ := statOf(path); len(fields) > 3 && fields[3] == strconv.Itoa(session) {
			addSockets(filepath.Join(filepath.Dir(path), "fd"), inodes)
		}
	}
	var found []listening
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, _ := os.ReadFile(table) // A system without IPv6 has no such table.
		for _, line := range strings.Split(string(text), "\n") {
			fields := strings.Fields(line)
			if len(fields) > 9 && fields[3] == "0A" && inodes[fields[9]] {
				found = append(found, parseListening(fields[1]))
			}
		}
	}
	return found
}

func addSockets(dir string, inodes map[string]bool) {
	links, _ := os.ReadDir(dir) // It ended, or belongs to another user.
	for _, link := range links {
		target, _ := os.Readlink(filepath.Join(dir, link.Name()))
		if inode, found := strings.CutPrefix(target, "socket:["); found {
			inodes[strings.TrimSuffix(inode, "]")] = true
		}
	}
}

func parseListening(text string) listening {
	address, hexPort, _ := strings.Cut(text, ":")
	port, _ := strconv.ParseInt(hexPort, 16, 32) // The kernel writes it.
	// The kernel writes each 32-bit word of an address in the machine's own order.
	loopback := strings.HasSuffix(address, "7F") && len(address) == 8 || address == "00000000000000000000000001000000"
	return listening{port: int(port), loopback: loopback}
}
