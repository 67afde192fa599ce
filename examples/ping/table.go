package main

import (
	"fmt"
	"io"
	"slices"
	"time"
)

// table is a column of round trips each.
type table []struct {
	name  string
	trips []time.Duration
}

func (t table) print(out io.Writer) {
	row := func(label string, value func(trips []time.Duration) string) {
		fmt.Fprintf(out, "%8s", label)
		for _, col := range t {
			fmt.Fprintf(out, " %12s", value(col.trips))
		}
		fmt.Fprintln(out)
	}
	fmt.Fprintf(out, "%8s", "")
	for _, col := range t {
		fmt.Fprintf(out, " %12s", col.name)
	}
	fmt.Fprintln(out)
	for i := range t[0].trips {
		row(fmt.Sprint(i+1), func(trips []time.Duration) string { return short(trips[i]) })
	}
	row("min", func(trips []time.Duration) string { return short(quantile(trips, 0)) })
	row("median", func(trips []time.Duration) string { return short(quantile(trips, 0.5)) })
	row("p99", func(trips []time.Duration) string { return short(quantile(trips, 0.99)) })
}

// quantile returns the shortest duration that the fraction q of them does not
// exceed.
func quantile(trips []time.Duration, q float64) time.Duration {
	sorted := slices.Sorted(slices.Values(trips))
	return sorted[int(q*float64(len(sorted)-1)+0.5)]
}

// short rounds to three digits or so.
func short(d time.Duration) string {
	unit := time.Duration(1)
	for d/unit >= 1000 {
		unit *= 10
	}
	return d.Round(unit).String()
}
