package main

import (
	"fmt"
	"math"
	"slices"

	"golang.org/x/perf/benchmath"

	"github.com/libp2p/go-libp2p-gorpc/bench/rig"
)

// turns are what a process measured of one cell, a round each.
type turns []rig.Result

func nsOfTurn(r rig.Result) float64     { return r.NS }
func allocsOfTurn(r rig.Result) float64 { return r.Allocs }

func (t turns) sample(value func(rig.Result) float64) *benchmath.Sample {
	values := make([]float64, len(t))
	for i, r := range t {
		values[i] = value(r)
	}
	return benchmath.NewSample(values, &benchmath.DefaultThresholds) // which sorts them
}

// center is the median.
func center(s *benchmath.Sample) float64 {
	return benchmath.AssumeNothing.Summary(s, 0.95).Center
}

// span is the shortest and the longest turn, an operation each.
func span(s *benchmath.Sample) string {
	return timeText(s.Values[0]) + " to " + timeText(s.Values[len(s.Values)-1])
}

// versus is how much longer one process took than another.
type versus struct {
	medians float64 // the ratio of the medians of the turns
	paired  float64 // the median of the ratios within the rounds
	p       float64 // how likely such turns are if there is no difference
}

// compareTurns compares a process with one that it took turns with.
func compareTurns(base, other turns) versus {
	a, b := base.sample(nsOfTurn), other.sample(nsOfTurn)
	ratios := make([]float64, len(base))
	for i := range ratios {
		ratios[i] = other[i].NS / base[i].NS
	}
	return versus{
		medians: center(b) / center(a),
		paired:  center(benchmath.NewSample(ratios, &benchmath.DefaultThresholds)),
		p:       benchmath.AssumeNothing.Compare(a, b).P,
	}
}

// geometricMean is the mean of ratios: twice as long and half as long are 1.
func geometricMean(ratios []float64) float64 {
	sum := 0.0
	for _, r := range ratios {
		sum += math.Log(r)
	}
	return math.Exp(sum / float64(len(ratios)))
}

// meanText is the mean of ratios, and the least and the greatest of them.
func meanText(ratios []float64) string {
	return fmt.Sprintf("%.3f (%.3f to %.3f)", geometricMean(ratios), slices.Min(ratios), slices.Max(ratios))
}
