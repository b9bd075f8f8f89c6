"""The venue for browsers and curl: REST, live events, downloads, pages without script, the console's files.

A gRPC client like any other. It has no rights of its own: the caller's token goes on to the scheduler, which
decides.

    python -m api --listen 127.0.0.1:8080 --scheduler 127.0.0.1:7000 --objects DIR
"""
