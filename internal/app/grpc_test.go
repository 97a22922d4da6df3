package app

import (
	"context"
	"encoding/json"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/chopmark/chopmark/internal/batch/batchrpc/codepb"
)

// TestCallsAreInTheLogOfChanges: what is changed over gRPC has its two entries, as over HTTP; a
// scan, and a call that nobody is let in for, has none.
func TestCallsAreInTheLogOfChanges(t *testing.T) {
	t.Parallel()
	c := testConfig(filepath.Join(t.TempDir(), "data"))
	c.Listen, c.GRPCListen, c.AdminKey = "127.0.0.1:0", "127.0.0.1:0", matrixAdminKey
	a, at, _ := serving(t, c)
	conn, err := grpc.NewClient(at.GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	rpc := codepb.NewCodeServiceClient(conn)
	as := func(key string) context.Context {
		return metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+key, "x-request-id", "call-1")
	}
	wants := func(err error, want codes.Code) {
		t.Helper()
		if status.Code(err) != want {
			t.Fatalf("answered %v, want %s", err, want)
		}
	}
	_, err = rpc.UpdateCodeStatus(as("not a key"), &codepb.UpdateCodeStatusRequest{Codes: []string{"123456789012345678"}, Status: 3, Reason: "void it"})
	wants(err, codes.Unauthenticated)
	_, err = rpc.VerifyCode(as(matrixAdminKey), &codepb.VerifyCodeRequest{Code: "123456789012345678"})
	wants(err, codes.NotFound)
	_, err = rpc.GenerateCodes(as(matrixAdminKey), &codepb.GenerateCodesRequest{BrandId: 9999, ProductId: 1, BatchNo: "B-1", Quantity: 1})
	wants(err, codes.NotFound)
	_, err = rpc.UpdateCodeStatus(as(matrixAdminKey), &codepb.UpdateCodeStatusRequest{Codes: []string{"123456789012345678"}, Status: 3, Reason: "void it"})
	if err != nil && status.Code(err) != codes.NotFound {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+at.HTTP+"/api/v1/audit", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+matrixAdminKey)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var log struct {
		Data struct {
			Entries []struct {
				N         int64
				Action    string
				Ends      *int64
				Status    *int
				After     map[string]any
				Reason    string
				RequestID string `json:"request_id"`
			}
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&log); err != nil {
		t.Fatal(err)
	}
	var calls []string
	for _, e := range log.Data.Entries {
		if !strings.HasPrefix(e.Action, "gRPC ") {
			continue
		}
		if calls = append(calls, e.Action); e.RequestID != "call-1" {
			t.Errorf("%+v", e)
		}
		if e.Ends != nil && strings.HasSuffix(e.Action, "UpdateCodeStatus") && (e.Reason != "void it" || e.Status == nil || e.After["codes"] == nil) {
			t.Errorf("what came of it: %+v", e)
		}
		if e.Ends != nil && strings.HasSuffix(e.Action, "GenerateCodes") && (*e.Ends != e.N-1 || *e.Status != http.StatusNotFound || e.After["batch_no"] != "B-1") {
			t.Errorf("what came of it: %+v", e)
		}
	}
	const update, generate = "gRPC /code.CodeService/UpdateCodeStatus", "gRPC /code.CodeService/GenerateCodes"
	if got, want := strings.Join(calls, " "), strings.Join([]string{update, update, generate, generate}, " "); got != want {
		t.Errorf("the log has %s, want %s", got, want)
	}
	if _, err := a.identity.CheckAudit(t.Context()); err != nil {
		t.Error(err)
	}
}
