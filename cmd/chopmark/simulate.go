package main

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/chopmark/chopmark/internal/source/sourcerpc/sourcepb"
)

// simulateCmd runs a small system that knows something of every code, always the same.
type simulateCmd struct {
	Kind       string        `arg:"" enum:"mes,wms,erp" help:"mes, wms or erp."`
	Listen     string        `env:"-" default:"127.0.0.1:9101" placeholder:"ADDR" help:"HTTP (${default}); empty = off."`
	GRPCListen string        `env:"-" name:"grpc-listen" placeholder:"ADDR" help:"gRPC; off by default."`
	Token      string        `env:"-" placeholder:"TOKEN" help:"Ask for it; off by default."`
	Slow       time.Duration `env:"-" placeholder:"TIME" help:"Answer so much later."`
	Fail       float64       `env:"-" placeholder:"SHARE" help:"Share of the questions that are answered with an error, 0 to 1."`
	Wrong      bool          `env:"-" help:"Answer about another code, with what is no part of a story."`
	Huge       bool          `env:"-" help:"Answer with ten million bytes."`
	Redirect   string        `env:"-" placeholder:"URL" help:"Send who asks by HTTP there."`
}

// peer answers for both doors.
type peer struct {
	sourcepb.UnimplementedTraceSourceServiceServer

	cmd   *simulateCmd
	asked atomic.Int64
}

const hugeBytes = 10_000_000

// Run serves until a signal ends it. The first lines tell the addresses.
func (s *simulateCmd) Run(ctx context.Context) error {
	p := &peer{cmd: s}
	failed := make(chan error, 2)
	stop := []func(){}
	if s.Listen != "" {
		ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.Listen)
		if err != nil {
			return fmt.Errorf("--listen: %w", err)
		}
		server := &http.Server{Handler: p, ReadHeaderTimeout: 5 * time.Second}
		fmt.Printf("%s listens on http://%s\n", s.Kind, ln.Addr())
		go func() { failed <- server.Serve(ln) }() // ended by Close
		stop = append(stop, func() { _ = server.Close() })
	}
	if s.GRPCListen != "" {
		ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.GRPCListen)
		if err != nil {
			return fmt.Errorf("--grpc-listen: %w", err)
		}
		server := grpc.NewServer()
		sourcepb.RegisterTraceSourceServiceServer(server, p)
		fmt.Printf("%s listens on grpc://%s\n", s.Kind, ln.Addr())
		go func() { failed <- server.Serve(ln) }() // ended by Stop
		stop = append(stop, server.Stop)
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	for _, end := range stop {
		end()
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// part is what it says.
type part struct {
	Stage    string         `json:"stage"`
	Time     time.Time      `json:"time"`
	Location string         `json:"location"`
	Details  map[string]any `json:"details"`
}

// story is what a system of the kind says of a code.
func (s *simulateCmd) story(code string) []part {
	h := fnv.New64a()
	_, _ = h.Write([]byte(code)) // a hash never fails
	n := h.Sum64()
	day := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, int(n%180))
	pick := func(of ...string) string { return of[n/7%uint64(len(of))] }
	number := func(of string) string { return fmt.Sprintf("%s%010d", of, n%10_000_000_000) }
	at := func(days, hour int) time.Time {
		return day.AddDate(0, 0, days).Add(time.Duration(hour) * time.Hour)
	}
	switch s.Kind {
	case "wms":
		return []part{
			{"logistics", at(9, 2), pick("上海仓", "成都仓", "广州仓"), map[string]any{
				"carrier": pick("顺丰速运", "中通快递", "京东物流"), "tracking_no": number("SF"), "temperature": "15-25°C"}},
		}
	case "erp":
		return []part{{"sales", at(14, 3), pick("南京经销商", "深圳旗舰店", "武汉经销商"), map[string]any{"dealer": pick("D-1001", "D-1002", "D-1003"), "order_no": number("SO")}}}
	}
	return []part{
		{"production", at(0, 1), pick("仁怀一车间", "仁怀二车间"), map[string]any{
			"raw_materials": pick("红缨子高粱, 小麦", "高粱, 小麦, 水"), "quality_grade": pick("A", "A+"), "inspector": pick("王敏", "李强")}},
		{"processing", at(3, 5), pick("包装一线", "包装二线"), map[string]any{"inspector": pick("赵磊", "陈静")}},
	}
}

// answer waits, and fails as often as it was told: the share is met exactly in the long run.
func (p *peer) answer(ctx context.Context, code string) (string, []part, error) {
	n := p.asked.Add(1)
	select {
	case <-time.After(p.cmd.Slow):
	case <-ctx.Done():
		return "", nil, ctx.Err()
	}
	if int64(float64(n)*p.cmd.Fail) > int64(float64(n-1)*p.cmd.Fail) {
		return "", nil, errFails
	}
	said := p.cmd.story(code)
	switch {
	case p.cmd.Wrong:
		return "000000000000000000", []part{{Stage: "teleportation", Location: "\u202enowhere"}}, nil
	case p.cmd.Huge:
		said[0].Location = strings.Repeat("x", hugeBytes)
	}
	return code, said, nil
}

var errFails = errors.New("it fails, as it was told to")

func (p *peer) lets(token string) bool {
	return p.cmd.Token == "" || subtle.ConstantTimeCompare([]byte(token), []byte("Bearer "+p.cmd.Token)) == 1
}

// ServeHTTP answers POST / with the question as JSON.
func (p *peer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var ask struct {
		Code string `json:"code"`
	}
	switch {
	case p.cmd.Redirect != "":
		http.Redirect(w, r, p.cmd.Redirect, http.StatusTemporaryRedirect)
		return
	case !p.lets(r.Header.Get("Authorization")):
		http.Error(w, "who are you?", http.StatusUnauthorized)
		return
	case r.Method != http.MethodPost || json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&ask) != nil:
		http.Error(w, "POST a question in JSON", http.StatusBadRequest)
		return
	}
	code, parts, err := p.answer(r.Context(), ask.Code)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"code": code, "parts": parts}) //nolint:errchkjson // who asked may have gone
}

// Ask implements sourcepb.TraceSourceServiceServer.
func (p *peer) Ask(ctx context.Context, q *sourcepb.AskRequest) (*sourcepb.AskResponse, error) {
	token := ""
	if given := metadata.ValueFromIncomingContext(ctx, "authorization"); len(given) > 0 {
		token = given[0]
	}
	if !p.lets(token) {
		return nil, status.Error(codes.Unauthenticated, "who are you?")
	}
	code, parts, err := p.answer(ctx, q.GetCode())
	if err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	out := &sourcepb.AskResponse{Code: code}
	for _, one := range parts {
		details, err := structpb.NewStruct(one.Details)
		if err != nil {
			return nil, status.Error(codes.Internal, err.Error())
		}
		out.Parts = append(out.Parts, &sourcepb.Part{Stage: one.Stage, Time: timestamppb.New(one.Time), Location: one.Location, Details: details})
	}
	return out, nil
}
