"""Characters: creating, opening, listing."""
