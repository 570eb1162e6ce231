"""See what a deployed vision model looks at, and how it breaks."""

__version__ = "0.1.0"
