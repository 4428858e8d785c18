// Go. usage: core yield N | create | parked N | timers | sleepers | sleep |
// ping-pong | pipeline | group | thread | process
package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

const windows = 5

var seed uint64 = 88172645463325252

func random() uint64 {
	seed ^= seed >> 12
	seed ^= seed << 25
	seed ^= seed >> 27
	return seed * 2685821657736338717
}

func milliseconds(from, to uint64) time.Duration {
	return time.Duration(from+random()%(to-from)) * time.Millisecond
}

func clock() int64 { return time.Since(began).Nanoseconds() }

var began = time.Now()

func cpu() int64 {
	var usage syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return usage.Utime.Nano() + usage.Stime.Nano()
}

func report(name, unit string, figure float64) {
	fmt.Printf("%s\t%.3f\t%s\t\n", name, figure, unit)
}

func median(figures []float64) float64 {
	sort.Float64s(figures)
	return figures[len(figures)/2]
}

func measureBy(now func() int64, name, unit string, operations int, round func()) {
	var figures []float64
	round()
	for i := 0; i < windows; i++ {
		start := now()
		round()
		figures = append(figures, float64(now()-start)/float64(operations))
	}
	report(name, unit, median(figures))
}

func measure(name string, operations int, round func()) {
	measureBy(clock, name, "ns", operations, round)
}

// What several goroutines do in turn is counted, and the program ends with it.
var ticks struct {
	name        string
	count, next int
	operations  int
	start       int64
	figures     []float64
}

func count(name string, operations, warmUp int) {
	ticks.name, ticks.operations, ticks.next = name, operations, warmUp
}

func tick() {
	ticks.count++
	if ticks.count == ticks.next {
		endWindow()
	}
}

func endWindow() {
	if ticks.start != 0 {
		took := float64(clock() - ticks.start)
		ticks.figures = append(ticks.figures, took/float64(ticks.operations))
	}
	if len(ticks.figures) == windows {
		report(ticks.name, "ns", median(ticks.figures))
		os.Exit(0)
	}
	ticks.next = ticks.count + ticks.operations
	ticks.start = clock()
}

func yield(n int) {
	count(fmt.Sprintf("yield %d", n), 2000000, 2*n+200000)
	for i := 0; i < n; i++ {
		go func() {
			for {
				tick()
				runtime.Gosched()
			}
		}()
	}
	select {}
}

func crowd(n int, body func()) {
	var all sync.WaitGroup
	all.Add(n)
	for i := 0; i < n; i++ {
		go func() {
			body()
			all.Done()
		}()
	}
	all.Wait()
}

func create() {
	const many, oneByOne = 100000, 1000000
	start := clock()
	crowd(many, runtime.Gosched)
	report("create+await 100000, fresh", "ns", float64(clock()-start)/many)
	measure("create+await 100000, warm", many, func() { crowd(many, runtime.Gosched) })
	measure("create+await 100000", many, func() { crowd(many, func() {}) })
	measure("create+await 1", oneByOne, func() {
		ended := make(chan struct{})
		for i := 0; i < oneByOne; i++ {
			go func() { ended <- struct{}{} }()
			<-ended
		}
	})
}

func group() {
	const children, groups = 1000, 100
	many := func(body func()) func() {
		return func() {
			for i := 0; i < groups; i++ {
				crowd(children, body)
			}
		}
	}
	measure("group of 1000 that end", children*groups, many(func() {}))
	measure("group of 1000 that yield", children*groups, many(runtime.Gosched))
}

func rss() float64 {
	status, _ := os.ReadFile("/proc/self/status")
	_, after, _ := strings.Cut(string(status), "VmRSS:")
	kib, _ := strconv.ParseFloat(strings.Fields(after)[0], 64)
	return kib * 1024
}

func parked(n int) {
	before, start := rss(), clock()
	for i := 0; i < n; i++ {
		go time.Sleep(10 * time.Hour)
	}
	runtime.Gosched()
	took := clock() - start
	report(fmt.Sprintf("parked %d: create", n), "ns", float64(took)/float64(n))
	report(fmt.Sprintf("parked %d: memory", n), "B/task", (rss()-before)/float64(n))
}

func timers() {
	const many, live, churns = 1000000, 10000, 1000000
	nothing := func() {}
	all := make([]*time.Timer, many)
	measure("timers: set+cancel 1000000", many, func() {
		for i := range all {
			all[i] = time.AfterFunc(milliseconds(0, 60000), nothing)
		}
		for i := range all {
			all[i].Stop()
		}
	})
	measureBy(cpu, "timers: expire 1000000", "ns CPU", many, func() {
		var expired sync.WaitGroup
		expired.Add(many)
		for i := 0; i < many; i++ {
			time.AfterFunc(milliseconds(0, 1000), expired.Done)
		}
		expired.Wait()
	})
	for i := 0; i < live; i++ {
		all[i] = time.AfterFunc(milliseconds(1000, 60000), nothing)
	}
	measure("timers: churn 10000", churns, func() {
		for i := 0; i < churns; i++ {
			timer := all[random()%live]
			timer.Stop()
			timer.Reset(milliseconds(1000, 60000))
		}
	})
}

func sleepers() {
	const many = 100000
	measureBy(cpu, "sleepers: expire 100000", "ns CPU", many, func() {
		crowd(many, func() {
			time.Sleep(time.Duration(random()%1000000) * time.Microsecond)
		})
	})
}

func sleep(us int) {
	const sleeps = 200
	var late []float64
	used := cpu()
	for i := 0; i < sleeps; i++ {
		start := clock()
		time.Sleep(time.Duration(us) * time.Microsecond)
		late = append(late, float64(clock()-start)-float64(us)*1000)
	}
	used = cpu() - used
	sort.Float64s(late)
	report(fmt.Sprintf("sleep %d us: late, p50", us), "ns", late[sleeps/2])
	report(fmt.Sprintf("sleep %d us: late, p99", us), "ns", late[sleeps*99/100])
	report(fmt.Sprintf("sleep %d us: processor", us), "ns CPU", float64(used)/sleeps)
}

func pingPong() {
	there, back := make(chan int, 1), make(chan int, 1)
	count("queue ping-pong", 1000000, 100000)
	go func() {
		for item := range there {
			tick()
			back <- item
		}
	}()
	for {
		there <- 1
		<-back
		tick()
	}
}

func pipeline() {
	items := make(chan int, 128)
	count("queue pipeline", 2000000, 100000)
	go func() {
		for range items {
			tick()
		}
	}()
	for i := 0; ; i++ {
		items <- i
	}
}

// Keep this goroutine on a thread of its own, and that on a core.
func pin(core uint) {
	cores := uint64(1) << core
	runtime.LockOSThread()
	syscall.RawSyscall(syscall.SYS_SCHED_SETAFFINITY, 0, unsafe.Sizeof(cores),
		uintptr(unsafe.Pointer(&cores)))
}

func thread() {
	const posts, trips = 1000000, 20000
	calls, answers := make(chan int, 1024), make(chan int)
	pin(0)
	measure("thread: post", posts, func() {
		go func() {
			pin(1)
			for i := 0; i < posts; i++ {
				calls <- i
			}
		}()
		for i := 0; i < posts; i++ {
			<-calls
		}
	})
	go func() {
		pin(1)
		for call := range calls {
			answers <- call
		}
	}()
	measure("thread: round trip", trips, func() {
		for i := 0; i < trips; i++ {
			calls <- i
			<-answers
		}
	})
}

func process() {
	const processes = 200
	measure("start+wait", processes, func() {
		for i := 0; i < processes; i++ {
			if err := exec.Command("/bin/true").Run(); err != nil {
				panic(err)
			}
		}
	})
}

func main() {
	n := 0
	if len(os.Args) > 2 {
		n, _ = strconv.Atoi(os.Args[2])
	}
	cases := map[string]func(){
		"yield": func() { yield(n) }, "create": create,
		"parked": func() { parked(n) }, "timers": timers, "sleepers": sleepers,
		"ping-pong": pingPong, "pipeline": pipeline,
		"group": group, "thread": thread, "process": process,
		"sleep": func() {
			for _, us := range []int{50, 200, 1000, 10000} {
				sleep(us)
			}
		},
	}
	if len(os.Args) < 2 || cases[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "core: which case?")
		os.Exit(2)
	}
	cases[os.Args[1]]()
}
