"""What surrounds a run: processes, checkpoints to continue from, records of runs, trackers, options, vLLM's server."""
