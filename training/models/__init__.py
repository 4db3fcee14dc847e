"""Models in training: checkpoints, batches, LoRA and full fine-tuning, feature caches, and export to the registry."""
