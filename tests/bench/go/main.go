// Takes and frees locks as a Go program would: etcd's own `concurrency.Mutex`, all of one session.
//
// Its one argument, its input and its output are those of tests/bench/lock_driver.py.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"sort"
	"sync"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.uber.org/zap"
)

// asked says what to work on: a lane uses its own names in turn, so that no two lanes meet.
type asked struct {
	Targets []string `json:"targets"`
	Lanes   int      `json:"lanes"`
	Names   int      `json:"names"`
	Prefix  string   `json:"prefix"`
}

type turn struct {
	Lanes   int     `json:"lanes"`
	Seconds float64 `json:"seconds"`
}

type result struct {
	Pairs   int     `json:"pairs"`
	Seconds float64 `json:"seconds"`
	CPU     float64 `json:"cpu_s"`
	P50     float64 `json:"p50_ms"`
	P99     float64 `json:"p99_ms"`
}

func main() {
	log.SetFlags(0)
	var config asked
	check(json.Unmarshal([]byte(os.Args[1]), &config))
	client, err := clientv3.New(clientv3.Config{
		Endpoints: config.Targets, DialTimeout: 10 * time.Second, Logger: zap.NewNop(),
	})
	check(err)
	defer client.Close()
	session, err := concurrency.NewSession(client)
	check(err)
	defer session.Close()

	lanes := make([][]*concurrency.Mutex, config.Lanes)
	for lane := range lanes {
		for name := range config.Names {
			key := fmt.Sprintf("%s%d-%d", config.Prefix, lane, name)
			lanes[lane] = append(lanes[lane], concurrency.NewMutex(session, key))
		}
	}
	answers := json.NewEncoder(os.Stdout)
	check(answers.Encode(map[string]bool{"ready": true}))
	turns := bufio.NewScanner(os.Stdin)
	for turns.Scan() {
		var next turn
		check(json.Unmarshal(turns.Bytes(), &next))
		check(answers.Encode(measured(lanes[:next.Lanes], next.Seconds)))
	}
}

// measured takes and frees in all lanes at once until the time is over.
func measured(lanes [][]*concurrency.Mutex, seconds float64) result {
	took := make([][]time.Duration, len(lanes))
	spent, began := cpu(), time.Now()
	end := began.Add(time.Duration(seconds * float64(time.Second)))
	var all sync.WaitGroup
	for lane, mutexes := range lanes {
		all.Add(1)
		go func() {
			defer all.Done()
			for i := 0; time.Now().Before(end); i++ {
				at, mutex := time.Now(), mutexes[i%len(mutexes)]
				check(mutex.Lock(context.Background()))
				check(mutex.Unlock(context.Background()))
				took[lane] = append(took[lane], time.Since(at))
			}
		}()
	}
	all.Wait()
	elapsed := time.Since(began).Seconds()
	var whole []time.Duration
	for _, each := range took {
		whole = append(whole, each...)
	}
	sort.Slice(whole, func(a, b int) bool { return whole[a] < whole[b] })
	at := func(share float64) float64 {
		return whole[int(share*float64(len(whole)-1))].Seconds() * 1000
	}
	return result{len(whole), elapsed, cpu() - spent, at(0.5), at(0.99)}
}

// cpu is what this process has used so far, in seconds.
func cpu() float64 {
	var used syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &used))
	return float64(used.Utime.Nano()+used.Stime.Nano()) / 1e9
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
