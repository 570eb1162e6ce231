"""The application: two doors over one core, and the engines behind it."""
