//go:build unix

package main

import "syscall"

const (
	terminate = syscall.SIGTERM
	kill      = syscall.SIGKILL
)

func ownGroup() *syscall.SysProcAttr {
	attributes := &syscall.SysProcAttr{Setsid: true}
	bindToAgent(attributes)
	return attributes
}

// signalGroup signals the process and all that it started in its group; a group that is gone is no error.
func (p *process) signalGroup(signal syscall.Signal) {
	_ = syscall.Kill(-p.pid, signal)
}
