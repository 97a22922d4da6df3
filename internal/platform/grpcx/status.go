package grpcx

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/chopmark/chopmark/internal/platform/fault"
)

// table is kind ↔ code. Several kinds share a code where gRPC has no closer one, so
// the kind's name travels beside it; the first kind of a code is what a status
// without that name is read as.
var table = [...]struct {
	kind fault.Kind
	code codes.Code
}{
	{fault.Internal, codes.Internal},
	{fault.Invalid, codes.InvalidArgument},
	{fault.Unauthenticated, codes.Unauthenticated},
	{fault.Denied, codes.PermissionDenied},
	{fault.NotFound, codes.NotFound},
	{fault.Method, codes.Unimplemented},
	{fault.Conflict, codes.FailedPrecondition},
	{fault.Gone, codes.NotFound},
	{fault.TooLarge, codes.OutOfRange},
	{fault.Unsupported, codes.InvalidArgument},
	{fault.Mismatch, codes.AlreadyExists},
	{fault.Limited, codes.ResourceExhausted},
	{fault.Unavailable, codes.Unavailable},
}

// codeOf is the code of a kind.
func codeOf(kind fault.Kind) codes.Code {
	for _, row := range table {
		if row.kind == kind {
			return row.code
		}
	}
	return codes.Internal
}

// kindNamed is the kind with the name, if it stands for the code; else the code's
// first. A peer cannot make a NotFound out of an Internal.
func kindNamed(name string, code codes.Code) (fault.Kind, bool) {
	first, known := fault.Internal, false
	for _, row := range table {
		if row.code != code {
			continue
		}
		if row.kind.String() == name {
			return row.kind, true
		}
		if !known {
			first, known = row.kind, true
		}
	}
	return first, known
}

const (
	domain  = "chopmark" // of ErrorInfo: whose reasons these are
	kindKey = "kind"
)

// errInternal is all that a stranger is told of an error without a fault.
var errInternal = fault.New(fault.Internal, "internal", "internal error")

// statusOf is what an error says on the wire.
func statusOf(err error) (_ *status.Status, isFault bool) {
	f, isFault := fault.From(err)
	if !isFault {
		f = errInternal
	}
	st := status.New(codeOf(f.Kind), f.Text)
	details := []protoadapt.MessageV1{&errdetails.ErrorInfo{
		Reason: f.Code, Domain: domain, Metadata: map[string]string{kindKey: f.Kind.String()},
	}}
	if len(f.Details) > 0 {
		bad := &errdetails.BadRequest{}
		for _, d := range f.Details {
			bad.FieldViolations = append(bad.FieldViolations, &errdetails.BadRequest_FieldViolation{Field: d.Field, Description: d.Reason})
		}
		details = append(details, bad)
	}
	if f.RetryAfter > 0 {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(f.RetryAfter)})
	}
	full, err := st.WithDetails(details...)
	if err != nil {
		return st, isFault // the details are ours and always encode; without them the code is still right
	}
	return full, isFault
}

// FromStatus is the client's way back: the fault that a call answered, so that
// errors.Is finds it by its stable code. What grpc itself says becomes a fault with
// a code that begins with "grpc."; a deadline and a cancellation stay what they are
// in package context; anything internal is an error without a fault, as it was.
func FromStatus(err error) error {
	st, ok := status.FromError(err)
	switch {
	case err == nil:
		return nil
	case !ok:
		return err
	case st.Code() == codes.DeadlineExceeded:
		return fmt.Errorf("%w: %s", context.DeadlineExceeded, st.Message())
	case st.Code() == codes.Canceled:
		return fmt.Errorf("%w: %s", context.Canceled, st.Message())
	}
	f := &fault.Error{Code: "grpc." + st.Code().String(), Text: st.Message()}
	name := ""
	for _, detail := range st.Details() {
		switch d := detail.(type) {
		case *errdetails.ErrorInfo:
			if d.GetDomain() == domain {
				f.Code, name = d.GetReason(), d.GetMetadata()[kindKey]
			}
		case *errdetails.BadRequest:
			for _, v := range d.GetFieldViolations() {
				f.Details = append(f.Details, fault.Detail{Field: v.GetField(), Reason: v.GetDescription()})
			}
		case *errdetails.RetryInfo:
			f.RetryAfter = max(0, d.GetRetryDelay().AsDuration()).Round(time.Millisecond)
		}
	}
	if f.Kind, ok = kindNamed(name, st.Code()); !ok || f.Kind == fault.Internal && (name == "" || f.Is(errInternal)) {
		return err
	}
	return f
}

// ownStatus is what generated code says of a method that nobody wrote. Any other
// status that a handler returns, or one that is wrapped, came from somewhere else
// and is not ours to repeat.
func ownStatus(err error) (*status.Status, bool) {
	if s, ok := err.(interface{ GRPCStatus() *status.Status }); ok && s.GRPCStatus().Code() == codes.Unimplemented {
		return s.GRPCStatus(), true
	}
	return nil, false
}

// statusClientGone is nginx's number for a caller who has left: HTTP has none.
const statusClientGone = 499

// httpStatusOf is a failure's status as metrics and the log count it.
func httpStatusOf(failure error, code codes.Code) int {
	switch code {
	case codes.Canceled:
		return statusClientGone
	case codes.DeadlineExceeded:
		return http.StatusGatewayTimeout
	case codes.Unimplemented:
		return http.StatusMethodNotAllowed
	}
	return fault.KindOf(failure).HTTPStatus()
}

// gaveUp reports that an error is nothing but the caller's leaving or its deadline,
// and the code that says so.
func gaveUp(err error) (codes.Code, bool) {
	if _, isFault := fault.From(err); isFault {
		return codes.OK, false
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return codes.DeadlineExceeded, true
	case errors.Is(err, context.Canceled):
		return codes.Canceled, true
	}
	return codes.OK, false
}
