package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/spf13/cobra"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
)

// The exit codes. A call that fails ends with exitCall and the number of its code.
const (
	exitOK    = 0
	exitFound = 1
	exitUsage = 2
	exitCall  = 10
)

func exitCode(err error) int {
	var usage *usageError
	var file *fs.PathError
	switch {
	case errors.Is(err, errFound):
		return exitFound
	case errors.As(err, &usage), errors.As(err, &file), strings.HasPrefix(err.Error(), "unknown command"):
		return exitUsage
	}
	return exitCall + int(min(codeOf(err), codes.Unauthenticated))
}

func codeOf(err error) codes.Code {
	var ours *rpc.Error
	switch {
	case errors.As(err, &ours):
		return ours.Code
	case errors.Is(err, context.Canceled):
		return codes.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		return codes.DeadlineExceeded
	}
	return rpc.CodeOf(err)
}

// exitCodes is a page of the help.
func exitCodes() *cobra.Command {
	var b strings.Builder
	fmt.Fprintf(&b, `0   it is as it should be
1   breaking: there is a breaking change; health: it is not serving
2   the command line, or a file, is wrong
`)
	for c := codes.Canceled; c <= codes.Unauthenticated; c++ {
		fmt.Fprintf(&b, "%-3d %v\n", exitCall+int(c), c)
	}
	b.WriteString("\nThose from 11 on are 10 and the number of the error's code, of the peer or on the way to it.")
	return &cobra.Command{Use: "exit-codes", Short: "What the exit codes say", Long: b.String()}
}

// explain adds to an error what to try.
func explain(err error) string {
	text := err.Error()
	try := map[codes.Code]string{
		codes.PermissionDenied: "the peer does not allow this key to call it: --key names a file with another",
		codes.Unavailable:      "is the address right, and the peer running? gorpc ping PEER tells whether it answers",
		codes.DeadlineExceeded: "--timeout gives it longer",
	}
	for service, says := range map[string]string{
		"rpc.Health": "the peer's program tells nothing of its health: package health does",
		"rpc.Debug":  "the peer's program does not show its state: package debug does, to those it allows",
	} {
		if codeOf(err) == codes.Unimplemented && strings.Contains(text, "service "+service) {
			return text + "\n" + says
		}
	}
	switch code := codeOf(err); {
	case code == codes.Unimplemented && strings.Contains(text, "WithDescriptions"):
		return text + "\ngorpc call works without descriptions"
	case try[code] != "":
		return text + "\n" + try[code]
	}
	return text
}
