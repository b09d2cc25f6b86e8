"""Long-form strategies: generators that ask for windows and yield final segments, free of I/O."""
