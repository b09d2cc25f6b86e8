"""The command line: one command per file; `app` holds the only error boundary."""
