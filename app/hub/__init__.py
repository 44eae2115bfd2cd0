"""Events for other services: delivery to a message hub, and `GET /hub/events`."""
