"""The model without PyTorch: arrays from a model file become ONNX graphs that onnxruntime runs."""
