"""What is said of a model over many images: shares with their intervals, and whether the evaluation can be believed.

A trial is a generator like any method and asks about one image; what is made of many is plain numbers. Needs no torch.
"""
