"""Credits: what a vendor earns by what others got of it, and spends on what it gets; in a book that each can check."""
