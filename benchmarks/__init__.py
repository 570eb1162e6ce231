"""`python -m benchmarks`: what an image costs here and elsewhere, side by side in one run.

The others are Captum, torchattacks, Foolbox and ART, and plain loops over the formulas of a method's authors.
"""
