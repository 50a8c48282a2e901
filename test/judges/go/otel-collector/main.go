// Command otel-collector takes spans with the receiver of OpenTelemetry's collector, and writes each batch as a line of OTLP's JSON.
// Its argument is the address to listen on, for gRPC.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"

	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	"go.opentelemetry.io/collector/receiver/receivertest"
)

func main() {
	ctx := context.Background()
	factory := otlpreceiver.NewFactory()
	config := factory.CreateDefaultConfig()
	grpc := map[string]any{"endpoint": os.Args[1]}
	said := confmap.NewFromStringMap(map[string]any{"protocols": map[string]any{"grpc": grpc}})
	if err := said.Unmarshal(config); err != nil {
		log.Fatal(err)
	}
	tell, err := consumer.NewTraces(func(_ context.Context, traces ptrace.Traces) error {
		line, err := (&ptrace.JSONMarshaler{}).MarshalTraces(traces)
		if err == nil {
			fmt.Printf("%s\n", line)
		}
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
	receiver, err := factory.CreateTraces(ctx, receivertest.NewNopSettings(factory.Type()), config, tell)
	if err != nil {
		log.Fatal(err)
	}
	if err := receiver.Start(ctx, componenttest.NewNopHost()); err != nil {
		log.Fatal(err)
	}
	fmt.Println("ready")
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM)
	<-ended
	if err := receiver.Shutdown(ctx); err != nil {
		log.Fatal(err)
	}
}
