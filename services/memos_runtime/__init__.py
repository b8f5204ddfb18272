"""Transport kit without a business word: servers, channels, interceptors, health, TLS, telemetry, configuration."""
