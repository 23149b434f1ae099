//go:build !linux

package main

import "syscall"

// bindToAgent is for systems that end a child with its parent; these do not.
func bindToAgent(*syscall.SysProcAttr) {}

// reapOrphans is for process 1 of a container, which is always Linux.
func reapOrphans() {}

// listenedOn is told by Linux only.
func listenedOn(int) []listening { return nil }
