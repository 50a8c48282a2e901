// A gRPC server of byte strings: grpc-server ADDRESS. Prints "listening".
package main

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"weft.test/judges/service"
)

type server struct{}

func (server) Stream(method string, stream grpc.ServerStream) error {
	given, _ := metadata.FromIncomingContext(stream.Context())
	stream.SetTrailer(metadata.MD{"x-method": {method}, "x-back-bin": given["x-there-bin"]})
	if err := stream.SetHeader(metadata.MD{"x-back": given["x-there"]}); err != nil {
		return err
	}
	first := new(service.Message)
	switch method {
	case "Echo":
		if err := stream.RecvMsg(first); err != nil {
			return err
		}
		return stream.SendMsg(first)
	case "Fail":
		return status.Error(codes.FailedPrecondition, "nein: 100 % ähnlich\n")
	case "Wait":
		<-stream.Context().Done()
		return status.FromContextError(stream.Context().Err()).Err()
	case "Collect":
		hash := sha256.New()
		for {
			message := new(service.Message)
			err := stream.RecvMsg(message)
			if err == io.EOF {
				return stream.SendMsg(wrapperspb.Bytes(hash.Sum(nil)))
			}
			if err != nil {
				return err
			}
			hash.Write(message.Value)
		}
	case "Repeat":
		if err := stream.RecvMsg(first); err != nil {
			return err
		}
		for turn := 0; turn < 100; turn++ {
			if err := stream.SendMsg(first); err != nil {
				return err
			}
		}
		return nil
	default: // Chat
		for {
			message := new(service.Message)
			err := stream.RecvMsg(message)
			if err == io.EOF {
				return nil
			}
			if err != nil {
				return err
			}
			if err := stream.SendMsg(message); err != nil {
				return err
			}
		}
	}
}

func main() {
	listener, err := net.Listen("tcp4", os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	s := grpc.NewServer(grpc.MaxRecvMsgSize(64 << 20))
	s.RegisterService(service.Description(), server{})
	reflection.Register(s)
	fmt.Println("listening")
	if err := s.Serve(listener); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
