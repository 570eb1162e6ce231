"""What TorchServe loads. Nothing here is imported by the gateway."""
