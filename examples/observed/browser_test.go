package main

import (
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/libp2p/go-libp2p-gorpc/debug/browser"
)

func TestThePagesInABrowser(t *testing.T) {
	tab := browser.Open(t)
	_, urls := start(t)
	for _, page := range []struct{ name, click, shows string }{
		{"bert", "nav button:nth-child(1)", `/Store[.]Find\D*[\d.]+[^\n]* s\b/.test(document.getElementById("methods").innerText)`},
		{"carl", "nav button:nth-child(1)", `document.getElementById("refused").innerText.includes("denied")`},
		{"dora", "nav button:nth-child(2)", `[...document.querySelectorAll(".tile.bad span")].some(e => e.innerText === "wait for a place")`},
	} {
		if _, err := chromedp.Run(tab, chromedp.Navigate(urls[page.name]+"/debug/rpc/")); err != nil {
			t.Fatal(err)
		}
		if _, err := chromedp.Run(tab, chromedp.Poll[bool](`document.getElementById("live").className === "on" && document.querySelectorAll("nav button").length === 2`)); err != nil {
			t.Fatal(err)
		}
		if _, err := chromedp.Run(tab, chromedp.Click(page.click)); err != nil {
			t.Fatal(err)
		}
		if _, err := chromedp.Run(tab, chromedp.Poll[bool](page.shows)); err != nil {
			t.Errorf("%s's page does not come to show %s: %v", page.name, page.shows, err)
		}
	}
}
