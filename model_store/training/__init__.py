"""How the networks trained here learn. A way of training is a file, in its paper's notation; none goes into an archive.

Each has `train(network, seed) -> (network, figures)`: what makes the untrained module in, what came of it out.
"""
