// Package cases_test has programs that once failed, each as somebody wrote it, with the
// public API and nothing of the rig. The kinds that they are examples of have tests in
// the folders beside this one.
package cases_test

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
