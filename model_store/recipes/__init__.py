"""The recipes of this house, a family of networks a file."""
