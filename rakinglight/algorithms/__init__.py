"""One method a file. Each is a page from its paper, as a generator of queries; none imports torch to be listed."""
