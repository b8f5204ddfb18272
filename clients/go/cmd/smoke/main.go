// Smoke adds a memory, finds it, chats, and asks for a vault that is not there; it prints what it saw as JSON.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"memos-grpc/memos"
	pb "memos-grpc/memospb/v1"
)

const (
	vault    = "tenants/local/vaults/main"
	fact     = "The spare key of the boathouse hangs behind the green lantern."
	question = "Where does the spare key of the boathouse hang?"
)

type seen struct {
	Added   string            `json:"added"`
	Found   string            `json:"found"`
	Chosen  int               `json:"chosen"`
	Deltas  string            `json:"deltas"`
	Answer  string            `json:"answer"`
	Reason  string            `json:"reason"`
	Details map[string]string `json:"details"`
	TraceID string            `json:"trace_id"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "smoke:", err)
		os.Exit(1)
	}
}

func run() error {
	connection, err := memos.Dial()
	if err != nil {
		return err
	}
	defer connection.Close()
	limited, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	ctx, trace, err := memos.WithTrace(memos.WithKey(limited))
	if err != nil {
		return err
	}
	result := seen{TraceID: trace}
	memories, chats := pb.NewMemoryServiceClient(connection), pb.NewChatServiceClient(connection)

	added, err := memories.AddMemories(ctx, &pb.AddMemoriesRequest{Vault: vault, Texts: []string{fact}})
	if err != nil {
		return err
	}
	result.Added = added.Added[0].Cube.Name

	found, err := memories.SearchMemories(ctx, &pb.SearchMemoriesRequest{Vaults: []string{vault}, Query: question})
	if err != nil {
		return err
	}
	result.Found = found.Hits[0].Cube.GetPlaintext().GetText()

	if err := chat(ctx, chats, &result); err != nil {
		return err
	}

	_, err = memories.SearchMemories(ctx, &pb.SearchMemoriesRequest{Vaults: []string{"tenants/local/vaults/nowhere"}, Query: question})
	info := memos.Reason(err)
	if info == nil {
		return fmt.Errorf("a vault that is not there gave %v", err)
	}
	result.Reason, result.Details = info.Reason, info.Metadata
	return json.NewEncoder(os.Stdout).Encode(result)
}

// chat asks a question and puts together the answer as it comes.
func chat(ctx context.Context, chats pb.ChatServiceClient, result *seen) error {
	events, err := chats.Chat(ctx, &pb.ChatRequest{Vaults: []string{vault}, Messages: []*pb.Message{{Role: "user", Text: question}}})
	if err != nil {
		return err
	}
	for {
		answer, err := events.Recv()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		switch event := answer.Event.(type) {
		case *pb.ChatResponse_Plan:
			result.Chosen = len(event.Plan.Chosen)
		case *pb.ChatResponse_Delta:
			result.Deltas += event.Delta.Text
		case *pb.ChatResponse_End:
			result.Answer = event.End.Text
		}
	}
}
