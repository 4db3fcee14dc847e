"""The training stages as commands: supervised fine-tuning, distillation, preference pairs, DPO, and all in a row."""
