package main

import (
	"strings"
	"testing"
)

// TestLedger plants what the checks must see, one thing at a time, in a world where
// everything else is right.
func TestLedger(t *testing.T) {
	t.Parallel()
	const batch, code = "bat_1", "123456789012345678"
	right := func() *ledger {
		l := newLedger()
		l.items[code] = &item{code: code, state: "active", version: 2}
		l.claimed(batch, claim{"clm_1", 1, 10})
		l.claimed(batch, claim{"clm_2", 11, 12})
		l.fact("chg_1")
		l.fact("chg_2")
		l.promised("file tsk_1")
		for range 5 {
			l.scanned(code, true)
		}
		l.scanned(code, false)
		l.scanned(code, false)
		l.tell([]event{{"evt_1", "t", 1001, "chg_1"}, {"evt_2", "t", 1001, "chg_2"}})
		return l
	}
	for name, tt := range map[string]struct {
		plant func(l *ledger)
		says  string // "" = right
	}{
		"all facts told":          {func(l *ledger) { l.checkTold() }, ""},
		"a fact that nobody told": {func(l *ledger) { l.fact("chg_3"); l.checkTold() }, "LOST no event tells of chg_3"},
		"a fact told twice":       {func(l *ledger) { l.tell([]event{{"evt_3", "t", 1001, "chg_1"}}) }, "DOUBLED event evt_3 tells of chg_1 again"},
		"a fact nobody asked for": {func(l *ledger) { l.tell([]event{{"evt_3", "t", 1001, "chg_9"}}) }, "DOUBLED event evt_3 tells of chg_9, which nobody was answered"},
		"a file that was promised": {func(l *ledger) {
			l.tell([]event{{"evt_3", "t", 1001, "file tsk_1"}})
			l.done("file tsk_1")
			l.checkTold()
		}, ""},
		"a file that is not told": {func(l *ledger) { l.done("file tsk_1"); l.checkTold() }, "LOST no event tells of file tsk_1"},

		"the counter is right":  {func(l *ledger) { l.checkClaimed(batch, 12) }, ""},
		"the counter lost":      {func(l *ledger) { l.checkClaimed(batch, 10) }, "LOST batch bat_1 says 10"},
		"the counter has more":  {func(l *ledger) { l.checkClaimed(batch, 14) }, "DOUBLED batch bat_1 says 14"},
		"claims overlap":        {func(l *ledger) { l.claimed(batch, claim{"clm_3", 12, 13}); l.checkClaimed(batch, 14) }, "DOUBLED clm_3 of bat_1 got numbers from 12"},
		"claims are recorded":   {func(l *ledger) { l.checkClaims(batch, []claim{{"clm_1", 1, 10}, {"clm_2", 11, 12}}) }, ""},
		"a claim is missing":    {func(l *ledger) { l.checkClaims(batch, []claim{{"clm_1", 1, 10}}) }, "LOST claim {clm_2 11 12}"},
		"a claim is another":    {func(l *ledger) { l.checkClaims(batch, []claim{{"clm_1", 1, 10}, {"clm_2", 11, 13}}) }, "LOST claim {clm_2 11 12}"},
		"a claim nobody had":    {func(l *ledger) { l.checkClaims(batch, []claim{{"clm_1", 1, 10}, {"clm_2", 11, 12}, {"clm_3", 13, 14}}) }, "DOUBLED claim {clm_3 13 14}"},
		"the item is right":     {func(l *ledger) { l.checkItem("x", code, "active", 2) }, ""},
		"the item moved back":   {func(l *ledger) { l.checkItem("x", code, "inactive", 2) }, "LOST x says"},
		"the item's version":    {func(l *ledger) { l.checkItem("x", code, "active", 1) }, "LOST x says"},
		"dense":                 {func(l *ledger) { l.checkDense(3, 7, 7, 7) }, ""},
		"a gap":                 {func(l *ledger) { l.checkDense(3, 7, 6, 7) }, "LOST shard 3 has 6"},
		"the end is lost":       {func(l *ledger) { l.checkDense(3, 7, 6, 6) }, "LOST shard 3 has 6"},
		"least scans":           {func(l *ledger) { l.checkScans("x", code, 5) }, ""},
		"most scans":            {func(l *ledger) { l.checkScans("x", code, 7) }, ""},
		"a scan is lost":        {func(l *ledger) { l.checkScans("x", code, 4) }, "LOST x has 4 scans"},
		"a scan is doubled":     {func(l *ledger) { l.checkScans("x", code, 8) }, "DOUBLED x has 8 scans"},
		"doubled after settled": {func(l *ledger) { l.settle(map[string]int64{code: 6}); l.checkScans("x", code, 7) }, "DOUBLED x has 7 scans"},
		"lost after settled":    {func(l *ledger) { l.settle(map[string]int64{code: 6}); l.checkScans("x", code, 5) }, "LOST x has 5 scans"},
		"a count that is ahead": {func(l *ledger) { l.settle(map[string]int64{code: 6}); l.checkCount("x", code, 7) }, ""},
		"a count too far ahead": {func(l *ledger) { l.checkCount("x", code, 8) }, "DOUBLED x has 8 scans"},

		"Kafka has all, one twice": {func(l *ledger) {
			l.checkKafka("t", []event{{"evt_1", "t", 1001, ""}, {"evt_2", "t", 1001, ""}, {"evt_1", "t", 1001, ""}}, true)
		}, ""},
		"Kafka lacks one": {func(l *ledger) { l.checkKafka("t", []event{{"evt_1", "t", 1001, ""}}, true) }, "LOST Kafka has no event evt_2"},
		"Kafka's order": {func(l *ledger) {
			l.checkKafka("t", []event{{"evt_2", "t", 1001, ""}, {"evt_1", "t", 1001, ""}}, true)
		}, "LOST Kafka has event evt_2 of brand 1001 where the outbox has evt_1"},
		"Kafka has more": {func(l *ledger) {
			l.checkKafka("t", []event{{"evt_1", "t", 1001, ""}, {"evt_2", "t", 1001, ""}, {"evt_3", "t", 1001, ""}}, true)
		}, "DOUBLED Kafka has 3 events"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := right()
			tt.plant(l)
			var texts []string
			for _, f := range l.taken() {
				texts = append(texts, f.harm.String()+" "+f.text)
			}
			if got := strings.Join(texts, "\n"); (got == "") != (tt.says == "") || !strings.Contains(got, tt.says) {
				t.Errorf("want %q, found %q", tt.says, got)
			}
		})
	}
}
