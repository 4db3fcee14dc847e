"""What texts say, without a model: figures in one spelling, and what a summary says that was never heard."""
