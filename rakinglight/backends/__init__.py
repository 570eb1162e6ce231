"""Who answers queries: torch for gradients, ONNX Runtime for scores. An algorithm cannot tell which."""
