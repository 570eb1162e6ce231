"""`python -m benchmarks`: what an image costs here, and in torchattacks, Foolbox and ART, side by side in one run."""
