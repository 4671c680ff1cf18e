// The same measurements as bench_group.c, of Go's errgroup. On Debian, with golang-go and golang-golang-x-sync-dev:
//
//	GO111MODULE=off GOPATH=/usr/share/gocode go run tests/benchmark/errgroup.go
package main

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

func emptyTasks(limit, n int) time.Duration {
	best := time.Hour
	for run := 0; run < 5; run++ {
		var group errgroup.Group
		group.SetLimit(limit)
		start := time.Now()
		for i := 0; i < n; i++ {
			group.Go(func() error { return nil })
		}
		_ = group.Wait()
		if took := time.Since(start); took < best {
			best = took
		}
	}
	return best
}

func join(n int) time.Duration {
	group, ctx := errgroup.WithContext(context.Background())
	var blocked int64
	for i := 0; i < n; i++ {
		group.Go(func() error {
			atomic.AddInt64(&blocked, 1)
			<-ctx.Done()
			return ctx.Err()
		})
	}
	var failed time.Time
	group.Go(func() error {
		for atomic.LoadInt64(&blocked) < int64(n) {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(20 * time.Millisecond)
		failed = time.Now()
		return errors.New("the first error")
	})
	_ = group.Wait()
	return time.Since(failed)
}

func main() {
	for _, limit := range []int{1, 8, 64} {
		fmt.Printf("limit %-3d empty tasks %8.2f M/s\n", limit, 200000/emptyTasks(limit, 200000).Seconds()/1e6)
	}
	for _, n := range []int{64, 1024} {
		rounds := 200
		all := make([]time.Duration, rounds)
		for i := range all {
			all[i] = join(n)
		}
		sort.Slice(all, func(i, j int) bool { return all[i] < all[j] })
		fmt.Printf("%-5d siblings joined: median %.3f ms, 99 %% %.3f ms\n", n, float64(all[rounds/2])/1e6, float64(all[rounds*99/100])/1e6)
	}
}
