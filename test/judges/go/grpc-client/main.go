// A gRPC client that tries one thing: grpc-client ADDRESS CASE. Prints "ok" and ends with 0, or says what is wrong.
package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"weft.test/judges/service"
)

type client struct{ *grpc.ClientConn }

func path(method string) string { return "/" + service.Name + "/" + method }

func random(size int) []byte {
	value := make([]byte, size)
	if _, err := rand.Read(value); err != nil {
		panic(err)
	}
	return value
}

func (c client) echo(ctx context.Context, value []byte, options ...grpc.CallOption) error {
	answer := new(service.Message)
	if err := c.Invoke(ctx, path("Echo"), wrapperspb.Bytes(value), answer, options...); err != nil {
		return err
	}
	if !bytes.Equal(answer.Value, value) {
		return fmt.Errorf("sent %d bytes, others came back (%d)", len(value), len(answer.Value))
	}
	return nil
}

func (c client) open(ctx context.Context, method string) grpc.ClientStream {
	stream, err := c.NewStream(ctx, service.Method(method), path(method))
	if err != nil {
		panic(err)
	}
	return stream
}

func expect(err error, code codes.Code) error {
	if status.Code(err) != code {
		return fmt.Errorf("expected %v, got %v", code, err)
	}
	return nil
}

var cases = map[string]func(context.Context, client) error{
	"unary": func(ctx context.Context, c client) error {
		for _, size := range []int{0, 1, 16_383, 16_384, 65_535, 65_536} {
			if err := c.echo(ctx, random(size)); err != nil {
				return err
			}
		}
		return nil
	},
	"large": func(ctx context.Context, c client) error { return c.echo(ctx, random(20<<20)) },
	"many": func(ctx context.Context, c client) error {
		var group sync.WaitGroup
		problems := make(chan error, 2_000)
		for worker := 0; worker < 50; worker++ {
			group.Add(1)
			go func() {
				defer group.Done()
				for call := 0; call < 40; call++ {
					if err := c.echo(ctx, random(call*100)); err != nil {
						problems <- err
					}
				}
			}()
		}
		group.Wait()
		close(problems)
		return <-problems
	},
	// For three seconds, twenty calls at once: what is behind may end meanwhile, and come again.
	"steady": func(ctx context.Context, c client) error {
		var group sync.WaitGroup
		problems := make(chan error, 20)
		until := time.Now().Add(3 * time.Second)
		for worker := 0; worker < 20; worker++ {
			group.Add(1)
			go func() {
				defer group.Done()
				for call := 0; time.Now().Before(until); call++ {
					if err := c.echo(ctx, random(call*100%70_000)); err != nil {
						problems <- fmt.Errorf("call %d: %w", call, err)
						return
					}
				}
			}()
		}
		group.Wait()
		close(problems)
		return <-problems
	},
	"metadata": func(ctx context.Context, c client) error {
		ctx = metadata.AppendToOutgoingContext(ctx, "x-there", "one", "x-there", "two", "x-there-bin", "\x00\xff\x80")
		var head, tail metadata.MD
		if err := c.echo(ctx, []byte("x"), grpc.Header(&head), grpc.Trailer(&tail)); err != nil {
			return err
		}
		back, binary := head.Get("x-back"), tail.Get("x-back-bin")
		if len(back) != 2 || back[0] != "one" || back[1] != "two" || len(binary) != 1 || binary[0] != "\x00\xff\x80" {
			return fmt.Errorf("header %v, trailer %v", head, tail)
		}
		return nil
	},
	"status": func(ctx context.Context, c client) error {
		var tail metadata.MD
		err := c.Invoke(ctx, path("Fail"), wrapperspb.Bytes(nil), new(service.Message), grpc.Trailer(&tail))
		if status.Convert(err).Message() != "nein: 100 % ähnlich\n" || tail.Get("x-method")[0] != "Fail" {
			return fmt.Errorf("%v, trailer %v", err, tail)
		}
		return expect(err, codes.FailedPrecondition)
	},
	"unimplemented": func(ctx context.Context, c client) error {
		return expect(c.Invoke(ctx, path("Nothing"), wrapperspb.Bytes(nil), new(service.Message)), codes.Unimplemented)
	},
	"deadline": func(ctx context.Context, c client) error {
		ctx, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
		defer cancel()
		return expect(c.Invoke(ctx, path("Wait"), wrapperspb.Bytes(nil), new(service.Message)), codes.DeadlineExceeded)
	},
	"cancel": func(ctx context.Context, c client) error {
		cancelled, cancel := context.WithCancel(ctx)
		defer cancel()
		stream := c.open(cancelled, "Chat")
		if err := stream.SendMsg(wrapperspb.Bytes([]byte("x"))); err != nil {
			return err
		}
		if err := stream.RecvMsg(new(service.Message)); err != nil {
			return err
		}
		cancel()
		if err := expect(stream.RecvMsg(new(service.Message)), codes.Canceled); err != nil {
			return err
		}
		return c.echo(ctx, []byte("the connection lives"))
	},
	"client-stream": func(ctx context.Context, c client) error {
		stream, hash := c.open(ctx, "Collect"), sha256.New()
		for turn := 0; turn < 200; turn++ {
			value := random(turn * 97)
			hash.Write(value)
			if err := stream.SendMsg(wrapperspb.Bytes(value)); err != nil {
				return err
			}
		}
		if err := stream.CloseSend(); err != nil {
			return err
		}
		answer := new(service.Message)
		if err := stream.RecvMsg(answer); err != nil {
			return err
		}
		if !bytes.Equal(answer.Value, hash.Sum(nil)) {
			return errors.New("the server collected other bytes")
		}
		return nil
	},
	"server-stream": func(ctx context.Context, c client) error {
		stream, value := c.open(ctx, "Repeat"), random(50_000)
		if err := stream.SendMsg(wrapperspb.Bytes(value)); err != nil {
			return err
		}
		if err := stream.CloseSend(); err != nil {
			return err
		}
		for turn := 0; ; turn++ {
			answer := new(service.Message)
			err := stream.RecvMsg(answer)
			if err == io.EOF && turn == 100 {
				return nil
			}
			if err != nil {
				return fmt.Errorf("after %d messages: %w", turn, err)
			}
			if !bytes.Equal(answer.Value, value) {
				return fmt.Errorf("message %d is another", turn)
			}
		}
	},
	"chat": func(ctx context.Context, c client) error {
		stream := c.open(ctx, "Chat")
		for turn := 0; turn < 200; turn++ {
			value := random(turn * 31)
			if err := stream.SendMsg(wrapperspb.Bytes(value)); err != nil {
				return err
			}
			answer := new(service.Message)
			if err := stream.RecvMsg(answer); err != nil {
				return err
			}
			if !bytes.Equal(answer.Value, value) {
				return fmt.Errorf("message %d is another", turn)
			}
		}
		if err := stream.CloseSend(); err != nil {
			return err
		}
		if err := stream.RecvMsg(new(service.Message)); err != io.EOF {
			return fmt.Errorf("expected the end, got %v", err)
		}
		return nil
	},
}

func main() {
	attempt, known := cases[os.Args[2]]
	if !known {
		fmt.Fprintln(os.Stderr, "no case", os.Args[2])
		os.Exit(64)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	connection, err := grpc.DialContext(ctx, "passthrough:///"+os.Args[1],
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20), grpc.MaxCallSendMsgSize(64<<20)))
	if err == nil {
		err = attempt(ctx, client{connection})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("ok")
}
