// grpcurl's library against a server of which it knows nothing but what reflection tells: grpcurl ADDRESS CASE. Prints what came.
package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/fullstorydev/grpcurl"
	"github.com/jhump/protoreflect/grpcreflect"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

func try(ctx context.Context, connection *grpc.ClientConn, method, request string) error {
	reflected := grpcreflect.NewClientAuto(ctx, connection)
	defer reflected.Reset()
	source := grpcurl.DescriptorSourceFromServer(ctx, reflected)
	if method == "list" {
		services, err := grpcurl.ListServices(source)
		if err != nil {
			return err
		}
		fmt.Println(strings.Join(services, "\n"))
		return nil
	}
	parser, formatter, err := grpcurl.RequestParserAndFormatter(grpcurl.FormatJSON, source, strings.NewReader(request), grpcurl.FormatOptions{})
	if err != nil {
		return err
	}
	handler := &grpcurl.DefaultEventHandler{Out: os.Stdout, Formatter: formatter}
	if err := grpcurl.InvokeRPC(ctx, source, connection, method, []string{"x-from: grpcurl"}, handler, parser.Next); err != nil {
		return err
	}
	fmt.Println(handler.Status.Code(), handler.NumResponses)
	return nil
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	connection, err := grpcurl.BlockingDial(ctx, "tcp", os.Args[1], nil, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err == nil {
		err = try(ctx, connection, os.Args[2], strings.Join(os.Args[3:], " "))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
