// Package service describes a gRPC service of byte strings, so that no code has to be generated.
package service

import (
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// Name is the service's full name.
const Name = "weft.test.Bytes"

// Message is what every method takes and gives.
type Message = wrapperspb.BytesValue

// Server is what a server implements.
type Server interface {
	// Stream serves every method: the description says in which directions it may stream.
	Stream(method string, stream grpc.ServerStream) error
}

// Methods and what streams in them. All are served as streams: on the wire there is no difference.
var methods = []grpc.StreamDesc{
	{StreamName: "Echo"},
	{StreamName: "Fail"},
	{StreamName: "Wait"},
	{StreamName: "Collect", ClientStreams: true},
	{StreamName: "Repeat", ServerStreams: true},
	{StreamName: "Chat", ClientStreams: true, ServerStreams: true},
}

// Method returns the description of a method.
func Method(name string) *grpc.StreamDesc {
	for index := range methods {
		if methods[index].StreamName == name {
			return &methods[index]
		}
	}
	panic("no method " + name)
}

// Description binds the methods to a Server.
func Description() *grpc.ServiceDesc {
	streams := make([]grpc.StreamDesc, len(methods))
	for index, method := range methods {
		name := method.StreamName
		streams[index] = method
		streams[index].Handler = func(server interface{}, stream grpc.ServerStream) error {
			return server.(Server).Stream(name, stream)
		}
	}
	return &grpc.ServiceDesc{ServiceName: Name, HandlerType: (*Server)(nil), Streams: streams}
}
