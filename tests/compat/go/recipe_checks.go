package main

import (
	"fmt"
	"sync/atomic"
	"time"

	recipe "go.etcd.io/etcd/client/v3/experimental/recipes"
)

var recipeChecks = []check{
	{name: "recipe.queue", run: recipeQueue},
	{name: "recipe.priority_queue", run: recipePriorityQueue},
	{name: "recipe.barrier", run: recipeBarrier},
	{name: "recipe.double_barrier", run: recipeDoubleBarrier},
	{name: "recipe.read_write_mutex", run: recipeReadWrite},
}

func recipeQueue(s *scene) {
	queue := recipe.NewQueue(s.client, s.key("queue"))
	taken := make(chan string, 3)
	go func() { // waits for what is not there yet
		value, err := recipe.NewQueue(s.dial(s.endpoints...), s.key("queue")).Dequeue()
		taken <- fmt.Sprint(value, err)
	}()
	fine(queue.Enqueue("a"))
	expect(receive("a waiting taker", taken) == "a<nil>", "took something else")
	for _, value := range []string{"b", "c", "d"} {
		fine(queue.Enqueue(value))
	}
	for _, value := range []string{"b", "c", "d"} {
		expect(must(queue.Dequeue()) == value, "out of order")
	}
}

func recipePriorityQueue(s *scene) {
	queue := recipe.NewPriorityQueue(s.client, s.key("queue"))
	for number, priority := range []uint16{5, 1, 3, 1} {
		fine(queue.Enqueue(fmt.Sprint(number), priority))
	}
	for _, wanted := range []string{"1", "3", "2", "0"} {
		got := must(queue.Dequeue())
		expect(got == wanted, "wanted %s, got %s", wanted, got)
	}
}

func recipeBarrier(s *scene) {
	barrier := recipe.NewBarrier(s.client, s.key("barrier"))
	fine(barrier.Hold())
	through := make(chan error, 3)
	for range 3 {
		go func() { through <- recipe.NewBarrier(s.dial(s.endpoints...), s.key("barrier")).Wait() }()
	}
	select {
	case <-through:
		panic(failure{"somebody passed a closed barrier"})
	case <-time.After(300 * time.Millisecond):
	}
	fine(barrier.Release())
	for range 3 {
		fine(receive("one who waited", through))
	}
}

func recipeDoubleBarrier(s *scene) {
	const count = 4
	var inside atomic.Int32
	together(count, func(int) {
		session := s.session(s.dial(s.endpoints...), 10)
		barrier := recipe.NewDoubleBarrier(session, s.key("barrier"), count)
		inside.Add(1)
		fine(barrier.Enter())
		expect(inside.Load() == count, "entered with %d of %d", inside.Load(), count)
		fine(barrier.Leave())
	})
}

func recipeReadWrite(s *scene) {
	var readers, writers atomic.Int32
	together(5, func(worker int) {
		mutex := recipe.NewRWMutex(s.session(s.dial(s.endpoints...), 10), s.key("lock"))
		for turn := range 5 {
			if (worker+turn)%3 == 0 {
				fine(mutex.Lock())
				expect(writers.Add(1) == 1 && readers.Load() == 0, "a writer was not alone")
				writers.Add(-1)
				fine(mutex.Unlock())
			} else {
				fine(mutex.RLock())
				readers.Add(1)
				expect(writers.Load() == 0, "a reader beside a writer")
				readers.Add(-1)
				fine(mutex.RUnlock())
			}
		}
	})
}
