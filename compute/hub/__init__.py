"""Checkpoints of the Hugging Face Hub: `cache` looks at this machine only, `fetch` downloads."""
