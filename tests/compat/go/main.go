// A conformance program for servers of the etcd v3 API, written against etcd's own Go client. It
// needs a running cluster of three members and a control channel to whoever runs them
// (tests/compat/go_client.py), because some checks kill members. It knows nothing of Quorate: run
// against etcd it has to pass as well, or the check is wrong.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	checkSecondsMax = 120 // a check that lasts longer hangs
	patience        = 30 * time.Second
)

// A check of one promise. What it needs from the server beyond etcd 3.4 is said here.
type check struct {
	name    string
	run     func(*scene)
	since   string // first version of etcd that can pass it, "" for 3.4
	needs   string // a part of the API that --without may name
	disrupt bool   // kills members; they are brought back afterwards
}

// What a check has at hand: a client of all members, and keys of its own.
type scene struct {
	ctx       context.Context
	client    *clientv3.Client
	endpoints []string
	control   *control
	prefix    string
}

func (s *scene) key(name string) string { return s.prefix + name }

// A client that talks to these endpoints only; closed when the check ends.
func (s *scene) dial(endpoints ...string) *clientv3.Client {
	client := must(clientv3.New(configuration(s.ctx, endpoints)))
	context.AfterFunc(s.ctx, func() { client.Close() })
	return client
}

func configuration(ctx context.Context, endpoints []string) clientv3.Config {
	return clientv3.Config{
		Endpoints:            endpoints,
		DialTimeout:          5 * time.Second,
		DialKeepAliveTime:    2 * time.Second,
		DialKeepAliveTimeout: 2 * time.Second,
		Context:              ctx,
		Logger:               zap.NewNop(),
	}
}

// An expectation that did not hold.
type failure struct{ text string }

func expect(holds bool, format string, arguments ...any) {
	if !holds {
		panic(failure{fmt.Sprintf(format, arguments...)})
	}
}

func must[T any](value T, err error) T {
	expect(err == nil, "unexpected error: %v", err)
	return value
}

func fine(err error) { expect(err == nil, "unexpected error: %v", err) }

// Retries until it holds or patience is over: for what is promised to come, not to be there.
func eventually(what string, holds func() bool) {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if holds() {
			return
		}
	}
	panic(failure{what + ": did not come true within " + patience.String()})
}

func receive[T any](what string, channel <-chan T) T {
	select {
	case value, open := <-channel:
		expect(open, "%s: the channel was closed", what)
		return value
	case <-time.After(patience):
		panic(failure{what + ": nothing came within " + patience.String()})
	}
}

func closes[T any](what string, channel <-chan T) {
	end := time.After(patience)
	for {
		select {
		case _, open := <-channel:
			if !open {
				return
			}
		case <-end:
			panic(failure{what + ": was not closed within " + patience.String()})
		}
	}
}

// Runs the functions at once and waits for all; the first failure of one is that of the check.
func together(count int, run func(worker int)) {
	failures := make(chan any, count)
	for worker := range count {
		go func() {
			defer func() { failures <- recover() }()
			run(worker)
		}()
	}
	var first any
	for range count {
		if found := <-failures; found != nil && first == nil {
			first = found
		}
	}
	if first != nil {
		panic(first)
	}
}

func runOne(chosen check, endpoints []string, channel *control) (problem string) {
	ctx, cancel := context.WithTimeout(context.Background(), checkSecondsMax*time.Second)
	defer cancel()
	defer func() {
		switch found := recover().(type) {
		case nil:
		case failure:
			problem = found.text
		default:
			panic(found)
		}
	}()
	s := &scene{ctx: ctx, endpoints: endpoints, control: channel, prefix: chosen.name + "/"}
	s.client = s.dial(endpoints...)
	chosen.run(s)
	return ""
}

func allChecks() []check {
	var all []check
	for _, group := range [][]check{kvChecks, txnChecks, watchChecks, leaseChecks, sessionChecks,
		recipeChecks, wrapperChecks, balancerChecks, errorChecks, clusterChecks, maintenanceChecks,
		authChecks} {
		all = append(all, group...)
	}
	return all
}

func skipReason(one check, version string, without map[string]bool) string {
	if without[one.needs] {
		return "the server does not have: " + one.needs
	}
	if version != "" && one.since > version {
		return "needs etcd " + one.since
	}
	return ""
}

// Whether a part that --without names is indeed not there: what has come since is checked.
func lacks(part string, endpoints []string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	client, err := clientv3.New(configuration(ctx, endpoints))
	if err != nil {
		return false
	}
	defer client.Close()
	switch part {
	case "auth":
		_, err = client.UserList(ctx)
	case "range-stream":
		var stream clientv3.GetStreamChan
		if stream, err = client.GetStream(ctx, "a"); err == nil {
			_, err = clientv3.GetStreamToGetResponse(stream)
		}
	}
	return status.Code(err) == codes.Unimplemented
}

func main() {
	endpoints := flag.String("endpoints", "", "client addresses, separated by commas")
	address := flag.String("control", "", "address of the control channel")
	version := flag.String("etcd", "", "the server is this version of etcd; later checks are skipped")
	missing := flag.String("without", "", "parts that the server does not have, by commas")
	flag.Parse()
	channel, err := connect(*address)
	if err != nil {
		fmt.Println("no control channel:", err)
		os.Exit(2)
	}
	without := map[string]bool{}
	for _, part := range strings.Split(*missing, ",") {
		without[part] = part != "" && lacks(part, strings.Split(*endpoints, ","))
	}
	passed, failed, skipped := 0, 0, 0
	for _, one := range allChecks() {
		if flag.NArg() > 0 && !named(one.name, flag.Args()) {
			continue
		}
		if reason := skipReason(one, *version, without); reason != "" {
			fmt.Printf("SKIPPED %s: %s\n", one.name, reason)
			skipped++
			continue
		}
		started := time.Now()
		problem := runOne(one, strings.Split(*endpoints, ","), channel)
		if one.disrupt {
			if _, err := channel.ask("restore"); err != nil && problem == "" {
				problem = "members did not come back: " + err.Error()
			}
		}
		took := time.Since(started).Seconds()
		if problem == "" {
			fmt.Printf("ok      %s (%.1f s)\n", one.name, took)
			passed++
		} else {
			fmt.Printf("FAILED %s (%.1f s)\n  %s\n", one.name, took, problem)
			failed++
		}
	}
	fmt.Printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped)
	if failed > 0 || passed == 0 {
		os.Exit(1)
	}
}

func named(name string, parts []string) bool {
	for _, part := range parts {
		if strings.Contains(name, part) {
			return true
		}
	}
	return false
}
