package trace

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/chopmark/chopmark/internal/platform/fault"
)

// Attr is something that a span may say, by OpenTelemetry's semantic conventions.
type Attr struct{ kv attribute.KeyValue }

const keyLinksLeftOut = "chopmark.links.left_out"

// Method is a request's method; what is no method is _OTHER, as the conventions say.
func Method(method string) Attr {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
		http.MethodDelete, http.MethodOptions, http.MethodConnect, http.MethodTrace:
		return Attr{semconv.HTTPRequestMethodKey.String(method)}
	}
	return Attr{semconv.HTTPRequestMethodOther}
}

// Route is the pattern that a request matched, never its path.
func Route(pattern string) Attr { return Attr{semconv.HTTPRoute(pattern)} }

// RPC is a gRPC method, "/package.Service/Method", that the server has.
func RPC(fullMethod string) []Attr {
	return []Attr{{semconv.RPCSystemNameGRPC}, {semconv.RPCMethod(strings.TrimPrefix(fullMethod, "/"))}}
}

// Messaging is what carries messages: the system ("redis", "kafka", or "chopmark"
// for our own log), the stream, and the group that consumes it.
func Messaging(system, stream, group string) []Attr {
	return []Attr{
		{semconv.MessagingSystemKey.String(system)},
		{semconv.MessagingDestinationName(stream)},
		{semconv.MessagingConsumerGroupName(group)},
	}
}

// Messages is how many messages a batch has, sampled or not.
func Messages(n int) Attr { return Attr{semconv.MessagingBatchMessageCount(n)} }

func keyValues(attrs []Attr) []attribute.KeyValue {
	kvs := make([]attribute.KeyValue, len(attrs))
	for i, a := range attrs {
		kvs[i] = a.kv
	}
	return kvs
}

// errorType is a word for the error that is the same for all errors of its kind.
func errorType(err error) string {
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return f.Code
	}
	switch {
	case errors.Is(err, context.Canceled):
		return "canceled"
	case errors.Is(err, context.DeadlineExceeded):
		return "deadline_exceeded"
	}
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return fmt.Sprintf("%T", err)
		}
		err = inner
	}
}
