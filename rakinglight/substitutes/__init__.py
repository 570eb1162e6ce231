"""Substitutes: small networks that are taught what another answers, and stand in for it where gradients are needed.

architectures   what they may be
student         one of them while it learns, and what it says of an image
album           the images that it learns from, kept small enough to be saved with every state
judging         what pictures made on a student do to the network that it stands in for
archive         a student as a file that the zoo loads and serves
"""
