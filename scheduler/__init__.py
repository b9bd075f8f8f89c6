"""The scheduler: decides who gets what when (pure), remembers it (one writer), serves it (gRPC)."""
