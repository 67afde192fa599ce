#!/bin/bash
# OpenTelemetry Go v1.47.0: one string that is no UTF-8, in one span, loses every span
# of its batch (512 of them, by default) when they are exported over OTLP.
#
# Whom it surprises: whoever puts into spans what comes from outside: names, headers,
# texts of errors, cut texts. A Go string holds any bytes, attribute.String and SetStatus
# take them without a word, and a test with the SDK's in-memory exporter sees all spans.
# protobuf's encoder then refuses the request as a whole. The error names neither the span
# nor the attribute, and nothing is sent again: the next flush is clean and empty.
#
# What helps: strings.ToValidUTF8 on what comes from outside; otel.SetErrorHandler, which
# is told of batches that are lost without ForceFlush.
#
# The output that was seen is $want below.
set -euo pipefail

want='good: in memory 100 spans; over OTLP 100 spans, <nil>; then 0 spans, <nil>
bad attribute: in memory 100 spans; over OTLP 0 spans, traces export: failed to marshal request body in protobuf: string field contains invalid UTF-8; then 0 spans, <nil>
bad status: in memory 100 spans; over OTLP 0 spans, traces export: failed to marshal request body in protobuf: string field contains invalid UTF-8; then 0 spans, <nil>'

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"
)

func main() {
	ctx := context.Background()
	var arrived atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var request collector.ExportTraceServiceRequest
		if err := proto.Unmarshal(body, &request); err != nil {
			panic(err)
		}
		for _, resource := range request.ResourceSpans {
			for _, scope := range resource.ScopeSpans {
				arrived.Add(int64(len(scope.Spans)))
			}
		}
	}))
	defer server.Close()
	for _, where := range []string{"good", "bad attribute", "bad status"} {
		otlp, _ := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(server.URL))
		memory := tracetest.NewInMemoryExporter()
		provider := trace.NewTracerProvider(trace.WithSyncer(memory), trace.WithBatcher(otlp))
		for i := range 100 {
			_, span := provider.Tracer("finding").Start(ctx, "span")
			if i == 50 && where == "bad attribute" {
				span.SetAttributes(attribute.String("user", "Andr\xe9")) // Latin-1
			}
			if i == 50 && where == "bad status" {
				span.SetStatus(codes.Error, "Gr\u00fc\u00dfe"[:3]) // cut within a letter
			}
			span.End()
		}
		err := provider.ForceFlush(ctx)
		fmt.Printf("%s: in memory %d spans; over OTLP %d spans, %v; ", where, len(memory.GetSpans()), arrived.Swap(0), err)
		err = provider.ForceFlush(ctx)
		fmt.Printf("then %d spans, %v\n", arrived.Swap(0), err)
	}
}
GO
export GOWORK=off
v=v1.47.0 otel=go.opentelemetry.io/otel
go mod init finding 2>log &&
	go get $otel@$v $otel/sdk@$v $otel/exporters/otlp/otlptrace/otlptracehttp@$v 2>>log &&
	go build -o finding . || { cat log; exit 1; }
got=$(./finding 2>log) || { cat log; exit 1; }
echo "$got"
diff <(echo "$want") <(echo "$got") || { echo "the behaviour is another"; exit 1; }
