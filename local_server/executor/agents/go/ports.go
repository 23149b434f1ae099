package main

import (
	"fmt"
	"net"
	"strconv"
	"time"
)

const dialTimeout = 500 * time.Millisecond

// listening is a port some process accepts connections on; loopback: from the same machine only.
type listening struct {
	port     int
	loopback bool
}

// reservePort answers a free port: the one asked for, or any when that is 0.
func reservePort(host string, port int, taken map[int]bool) (int, bool) {
	for attempt := 0; attempt < 20; attempt++ {
		listener, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
		if err != nil {
			return 0, false
		}
		found := listener.Addr().(*net.TCPAddr).Port
		listener.Close()
		if !taken[found] {
			return found, true
		}
		if port != 0 {
			return 0, false
		}
	}
	return 0, false
}

// dialled is the address the gateway will use: in a container never loopback, so what is bound to that is not reached.
func dialled(host string) string {
	if host != "" && host != "0.0.0.0" && host != "::" {
		return host
	}
	addresses, _ := net.InterfaceAddrs() // Without any there is loopback.
	for _, address := range addresses {
		if network, ok := address.(*net.IPNet); ok && !network.IP.IsLoopback() && network.IP.To4() != nil {
			return network.IP.String()
		}
	}
	return "127.0.0.1"
}

func accepts(host string, port int) bool {
	connection, err := net.DialTimeout("tcp", net.JoinHostPort(host, strconv.Itoa(port)), dialTimeout)
	if err != nil {
		return false
	}
	connection.Close()
	return true
}

// elsewhere says what the processes of a session listen on instead of the port; empty when nothing, or the right one.
func elsewhere(session, port int, host string) string {
	found := listenedOn(session)
	for _, one := range found {
		if one.port == port && one.loopback {
			return fmt.Sprintf("it listens on port %d of loopback only and is not reached: use $HOST (%s)", port, host)
		}
		if one.port == port {
			return ""
		}
	}
	if len(found) > 0 {
		return fmt.Sprintf("it listens on port %d and not on $PORT (%d)", found[0].port, port)
	}
	return ""
}
