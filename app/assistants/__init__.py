"""AI assistants that play: the service as a server of the Model Context Protocol."""
