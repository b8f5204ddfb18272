// Package memos connects to a memory system: address, TLS and key from the environment, and errors with their reasons.
package memos

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	_ "embed" // for the service config
	"encoding/hex"
	"fmt"
	"os"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

//go:embed service_config.json
var serviceConfig string

// Dial connects to MEMOS_ADDRESS; with MEMOS_CA_FILE over TLS, and with MEMOS_CERT_FILE and MEMOS_KEY_FILE as well with
// a certificate of the client, which is read again for each connection. Calls that may be repeated are, by gRPC itself;
// before its version 1.40 that has to be switched on by GRPC_GO_RETRY=on.
func Dial() (*grpc.ClientConn, error) {
	address := os.Getenv("MEMOS_ADDRESS")
	if address == "" {
		address = "127.0.0.1:7070"
	}
	retries := grpc.WithDefaultServiceConfig(serviceConfig)
	authority := os.Getenv("MEMOS_CA_FILE")
	if authority == "" {
		return grpc.Dial(address, retries, grpc.WithInsecure())
	}
	pem, err := os.ReadFile(authority)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", authority)
	}
	if cert, key := os.Getenv("MEMOS_CERT_FILE"), os.Getenv("MEMOS_KEY_FILE"); cert != "" {
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(cert, key)
			return &pair, err
		}
	}
	return grpc.Dial(address, retries, grpc.WithTransportCredentials(credentials.NewTLS(config)))
}

// WithKey adds the API key of MEMOS_API_KEY to the calls of a context.
func WithKey(ctx context.Context) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+os.Getenv("MEMOS_API_KEY"))
}

// WithTrace makes the calls of a context part of a trace, and returns the id of that trace. Programs that trace with
// OpenTelemetry take the propagator of its gRPC instrumentation instead.
func WithTrace(ctx context.Context) (context.Context, string, error) {
	random := make([]byte, 24)
	if _, err := rand.Read(random); err != nil {
		return ctx, "", err
	}
	trace, span := hex.EncodeToString(random[:16]), hex.EncodeToString(random[16:])
	return metadata.AppendToOutgoingContext(ctx, "traceparent", "00-"+trace+"-"+span+"-01"), trace, nil
}

// Reason returns what an error says for programs: its reason, and details such as the field. It is nil for an error
// that does not come from the system itself.
func Reason(err error) *errdetails.ErrorInfo {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok && info.Domain == "memos" {
			return info
		}
	}
	return nil
}
