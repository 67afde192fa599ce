package main

import (
	"os/exec"
	"testing"

	"github.com/chromedp/chromedp"
)

func TestThePagesInABrowser(t *testing.T) {
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("there is no Chromium: the pages are not tried")
	}
	ctx, urls := start(t)
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox)
	allocator, stop := chromedp.NewExecAllocator(ctx, opts...)
	t.Cleanup(stop)
	browser, end := chromedp.NewContext(allocator)
	t.Cleanup(end)
	for _, page := range []struct{ name, click, shows string }{
		{"bert", "nav button:nth-child(1)", `/Store[.]Find\D*[\d.]+[^\n]* s\b/.test(document.getElementById("methods").innerText)`},
		{"carl", "nav button:nth-child(1)", `document.getElementById("refused").innerText.includes("denied")`},
		{"dora", "nav button:nth-child(2)", `[...document.querySelectorAll(".tile.bad span")].some(e => e.innerText === "wait for a place")`},
	} {
		if _, err := chromedp.Run(browser, chromedp.Navigate(urls[page.name]+"/debug/rpc/")); err != nil {
			t.Fatal(err)
		}
		if _, err := chromedp.Run(browser, chromedp.Poll[bool](`document.getElementById("live").className === "on" && document.querySelectorAll("nav button").length === 2`)); err != nil {
			t.Fatal(err)
		}
		if _, err := chromedp.Run(browser, chromedp.Click(page.click)); err != nil {
			t.Fatal(err)
		}
		if _, err := chromedp.Run(browser, chromedp.Poll[bool](page.shows)); err != nil {
			t.Errorf("%s's page does not come to show %s: %v", page.name, page.shows, err)
		}
	}
}
