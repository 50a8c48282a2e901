// Package service describes a gRPC service of byte strings, so that no code has to be generated.
package service

import (
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
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

const file = "weft/test/bytes.proto"

// Reflection tells clients that know nothing of the service what this file would say.
func init() {
	service := &descriptorpb.ServiceDescriptorProto{Name: proto.String("Bytes")}
	for index := range methods {
		method := &methods[index]
		service.Method = append(service.Method, &descriptorpb.MethodDescriptorProto{
			Name:            &method.StreamName,
			InputType:       proto.String(".google.protobuf.BytesValue"),
			OutputType:      proto.String(".google.protobuf.BytesValue"),
			ClientStreaming: &method.ClientStreams,
			ServerStreaming: &method.ServerStreams,
		})
	}
	described, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name:       proto.String(file),
		Package:    proto.String("weft.test"),
		Syntax:     proto.String("proto3"),
		Dependency: []string{"google/protobuf/wrappers.proto"},
		Service:    []*descriptorpb.ServiceDescriptorProto{service},
	}, protoregistry.GlobalFiles)
	if err == nil {
		err = protoregistry.GlobalFiles.RegisterFile(described)
	}
	if err != nil {
		panic(err)
	}
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
	return &grpc.ServiceDesc{ServiceName: Name, HandlerType: (*Server)(nil), Streams: streams, Metadata: file}
}
