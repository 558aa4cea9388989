package main

import (
	"bufio"
	"errors"
	"net"
	"strings"
	"sync"
)

// The wire to whoever runs the members: a line out, a line back, when it is done.
//
//	leader          name and endpoint of the leader
//	kill NAME       SIGKILL
//	start NAME      starts it again; returns at once
//	restore         starts the dead ones and waits until all are well
//	name ENDPOINT   name of the member there
type control struct {
	mutex  sync.Mutex
	socket net.Conn
	reader *bufio.Reader
}

func connect(address string) (*control, error) {
	socket, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	return &control{socket: socket, reader: bufio.NewReader(socket)}, nil
}

func (c *control) ask(words ...string) ([]string, error) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if _, err := c.socket.Write([]byte(strings.Join(words, " ") + "\n")); err != nil {
		return nil, err
	}
	line, err := c.reader.ReadString('\n')
	if err != nil {
		return nil, err
	}
	verdict, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
	if verdict != "ok" {
		return nil, errors.New(rest)
	}
	return strings.Fields(rest), nil
}

func (c *control) leader() (name, endpoint string) {
	answer := must(c.ask("leader"))
	return answer[0], answer[1]
}

// Kills the leader with SIGKILL; returns its name.
func (c *control) killLeader() string {
	name, _ := c.leader()
	must(c.ask("kill", name))
	return name
}

// The endpoints of the members that do not lead.
func (s *scene) followers() []string {
	_, leading := s.control.leader()
	var others []string
	for _, endpoint := range s.endpoints {
		if endpoint != leading {
			others = append(others, endpoint)
		}
	}
	return others
}

// Kills two of three; returns the endpoint of the one left.
func (s *scene) loseMajority() string {
	for _, endpoint := range s.endpoints[1:] {
		must(s.control.ask("kill", must(s.control.ask("name", endpoint))[0]))
	}
	return s.endpoints[0]
}
