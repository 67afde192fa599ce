package node_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/libp2p/go-libp2p-gorpc/debug/browser"
	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/node"
)

// TestPageInABrowser adds a file by the page of one peer, sees it pinned without loading the
// page again, unpins it, and sees a peer that dies turn red.
func TestPageInABrowser(t *testing.T) {
	members := newCluster(t, 3, func(_ int, cfg *node.Config) { cfg.Replicas = 2 })
	file := filepath.Join(t.TempDir(), "letter.txt")
	if err := os.WriteFile(file, []byte("a letter"), 0o600); err != nil {
		t.Fatal(err)
	}
	page := browser.Open(t)
	do := func(what string, actions ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		ctx, cancel := context.WithTimeout(page, time.Minute)
		defer cancel()
		if err := chromedp.Do(ctx, actions...); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	sees := func(what, script string) {
		t.Helper()
		until(t, func(context.Context) error {
			yes, err := chromedp.Run(page, chromedp.Evaluate[bool](script))
			if err == nil && !yes {
				err = fmt.Errorf("not seen: %s", what)
			}
			return err
		})
	}
	do("the page is opened", chromedp.Navigate(members[0].URL()), chromedp.WaitVisible("#peers"))
	sees("three peers", `document.querySelectorAll('#peers tr').length === 3`)
	do("a file is added", chromedp.SetUploadFiles(`#add input[type=file]`, []string{file}), chromedp.Click(`#add button`))
	sees("that it was added", `document.querySelector('#note').textContent.startsWith('Added letter.txt as ')`)
	sees("it pinned on two peers", `document.querySelectorAll('#pins .tag.pinned').length === 2`)
	do("it is unpinned", chromedp.Click(`#pins button`))
	sees("that nothing is pinned", `document.querySelector('#pins').textContent.includes('Nothing yet')`)
	members[2].kill()
	sees("the dead peer in red", `(() => {
		const bad = document.querySelectorAll('#peers .bad');
		const [r, g, b] = bad.length === 1 ? getComputedStyle(bad[0]).color.match(/\d+/g).map(Number) : [0, 0, 0];
		return r > g + 80 && r > b + 80;
	})()`)
}
