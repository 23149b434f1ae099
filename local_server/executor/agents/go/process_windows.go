package main

import "syscall"

const (
	terminate = syscall.SIGTERM
	kill      = syscall.SIGKILL
)

func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP}
}

// signalGroup ends the process: Windows has no signals, and no gentle way that every program understands.
func (p *process) signalGroup(syscall.Signal) {
	_ = p.cmd.Process.Kill() // Already gone is as good.
}
