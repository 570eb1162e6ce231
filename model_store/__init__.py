"""The zoo: recipes, what they are trained on, and how they become archives."""
