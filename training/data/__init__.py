"""Training data: records, the files that hold them, their audio, and how recordings and datasets become records."""
