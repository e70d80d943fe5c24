"""Model files: safetensors with a header, read into arrays and settings without PyTorch."""
