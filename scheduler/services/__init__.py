"""gRPC services: each method translates, calls once, translates back."""
