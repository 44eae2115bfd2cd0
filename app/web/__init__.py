"""HTTP, SSE and WebSocket: readers of turns, and nothing that decides about them."""
