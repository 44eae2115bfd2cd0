"""What the application needs from outside, one port a file; `bootstrap` chooses who provides it."""
