package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/chopmark/chopmark/internal/codebook"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/limit"
	"github.com/chopmark/chopmark/test/harness"
)

// The simulation: an hour in which many addresses guess, beside people who scan.
const (
	guessers      = 10_000
	people        = 100_000 // addresses; each scans some times
	scansOfPerson = 3
	liveCodes     = 1e6
	allCodes      = 1e18
	mistyped      = 0.005 // share of people's scans that are typed, and wrong
	withoutScript = 0.02  // share of people whose browser solves nothing
)

// guessed is what came of an hour.
type guessed struct {
	guesses, scans, answered, solved, refused int
}

// benchGuessing runs the limits of the program under a clock of its own.
func benchGuessing(_ context.Context, b *bench) error {
	for _, one := range []struct {
		name   string
		solves bool
	}{{"who solve every challenge", true}, {"who solve none", false}} {
		r, err := guess(one.solves)
		if err != nil {
			return err
		}
		b.rowf(fmt.Sprintf("%d addresses guess for an hour, %s, at 10^6 live codes: expected hits", guessers, one.name), "<= 1e-6", "%.1e (%d guesses)",
			float64(r.guesses)*liveCodes/allCodes, r.guesses)
		b.rowf("beside them people's scans that are answered", ">= 99.9 %", "%.3f %% of %d; %d after a challenge, %d told to wait",
			100*float64(r.answered)/float64(r.scans), r.scans, r.solved, r.refused)
	}
	return nil
}

// guess: each guesser asks every two seconds, which is far more than he is let.
func guess(solve bool) (r guessed, _ error) {
	now := time.Unix(1_800_000_000, 0)
	g := limit.NewGuard(limit.Options{
		Limits: limit.Usual(), Clock: clock.Func(func() time.Time { return now }), ProofKey: func() [32]byte { return [32]byte{} },
	})
	dice := rand.New(rand.NewPCG(1, 2))
	person := 0
	perStep := people * scansOfPerson / 1800
	for range 1800 {
		for i := range guessers {
			a := netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
			switch err := g.Admit(a); {
			case err == nil, solve && errors.Is(err, limit.ErrProof):
				r.guesses++
				g.Miss(a, 0)
			}
		}
		for range perStep {
			person = (person + 7919) % people
			r.scan(g, netip.AddrFrom4([4]byte{11, byte(person >> 16), byte(person >> 8), byte(person)}), dice)
		}
		now = now.Add(2 * time.Second)
	}
	if r.guesses == 0 || r.scans == 0 {
		return r, errors.New("nobody asked for anything")
	}
	return r, nil
}

// scan is one of a person, who may mistype first.
func (r *guessed) scan(g *limit.Guard, a netip.Addr, dice *rand.Rand) {
	if dice.Float64() < mistyped && r.ask(g, a, dice) {
		g.Miss(a, 0)
	}
	r.ask(g, a, dice)
}

func (r *guessed) ask(g *limit.Guard, a netip.Addr, dice *rand.Rand) bool {
	r.scans++
	err := g.Admit(a)
	switch {
	case err == nil:
		r.answered++
	case errors.Is(err, limit.ErrProof) && dice.Float64() >= withoutScript:
		r.answered++
		r.solved++
	default:
		r.refused++
		return false
	}
	return true
}

const refusalSamples = 10_000

// benchRefusal asks for codes that must all get the one refusal, in turn, and compares
// bodies and times.
func benchRefusal(ctx context.Context, b *bench) error {
	server, err := harness.Start(ctx, b.bin, b.data("refusal"))
	if err != nil {
		return err
	}
	defer server.Kill()
	asks, err := refusals(ctx, server)
	if err != nil {
		return err
	}
	took, body := make([][]time.Duration, len(asks)), ""
	for range refusalSamples {
		for i, ask := range asks {
			at := time.Now()
			text, err := ask.refused(ctx, server.URL)
			if err != nil {
				return err
			}
			took[i] = append(took[i], time.Since(at))
			if body == "" {
				body = text
			}
			if text != body {
				return fmt.Errorf("%s is told apart: %s", ask.what, text)
			}
		}
	}
	var medians []time.Duration
	for i, ask := range asks {
		slices.Sort(took[i])
		medians = append(medians, took[i][refusalSamples/2])
		b.rowf("refused, byte by byte the same: "+ask.what+", median", "", "%v", medians[i].Round(100*time.Nanosecond))
	}
	b.rowf(fmt.Sprintf("largest difference of these medians, %d of each", refusalSamples), "<= 1ms", "%v",
		(slices.Max(medians) - slices.Min(medians)).Round(100*time.Nanosecond))
	return nil
}

// refusal is a request that must be refused.
type refusal struct{ what, path string }

func (q refusal) refused(ctx context.Context, url string) (string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url+q.path, http.NoBody)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusNotFound {
		err = fmt.Errorf("%s answered %d: %s", q.what, resp.StatusCode, raw)
	}
	return string(raw), err
}

// refusals makes a code that needs its token and one that does not.
func refusals(ctx context.Context, s *harness.Server) ([]refusal, error) {
	shop, err := openShop(ctx, s)
	if err != nil {
		return nil, err
	}
	var codes [3]string
	for i, mark := range []string{"display", "print", "signed"} {
		var made struct {
			ID string `json:"batch_id"`
		}
		var claim struct {
			Codes []string `json:"codes"`
		}
		body := map[string]any{"product_id": shop.product, "batch_no": mark, "quantity": 10, "rotate_every": "1h", "mark": mark}
		if mark == "signed" {
			body["mark"], body["label_signature"] = "print", true
		}
		if err := s.Must(ctx, http.MethodPost, "/api/v1/batches", body, &made); err != nil {
			return nil, err
		}
		if err := s.Must(ctx, http.MethodPost, "/api/v1/batches/"+made.ID+"/claims", map[string]any{"quantity": 1, "claimant": "bench"}, &claim); err != nil {
			return nil, err
		}
		codes[i] = claim.Codes[0]
	}
	forged, err := forgedLabel(ctx, s)
	if err != nil {
		return nil, err
	}
	const token = "?token=0123456789ABCDEFGH"
	return []refusal{
		{"never issued", verifyPath("123456789012345678")}, {"never issued, with a token", verifyPath("123456789012345678") + token},
		{"needs its token", verifyPath(codes[0])}, {"needs its token, with another", verifyPath(codes[0]) + token},
		{"with a token that was never ours", verifyPath(codes[1]) + token},
		{"with a signature that does not fit", verifyPath(codes[2]) + forged}, {"never issued, with a signature", verifyPath("123456789012345678") + forged},
	}, nil
}

// forgedLabel is a signature in the name of the server's key, made with another.
func forgedLabel(ctx context.Context, s *harness.Server) (string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/.well-known/chopmark-keys.json", http.NoBody)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	keys, err := codebook.DecodeKeys(raw)
	if err != nil || len(keys) == 0 {
		return "", fmt.Errorf("the server's label keys: %w", err)
	}
	text := codebook.NewLabelSigner([32]byte{1}).Batch(codebook.LabelClaims{}).AppendSignature(nil, codebook.Code([]byte("123456789012345678")))
	id := keys[0].ID()
	name := uint64(0x10)<<32 | uint64(binary.BigEndian.Uint32(id[:])) // the first five bytes are the first eight characters
	for i := range 8 {
		text[i] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"[name>>(35-5*i)&31]
	}
	return "?" + codebook.LabelParam + "=" + string(text), nil
}
