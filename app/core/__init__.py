"""Pure decisions of a turn: no await, clock, random, network or file."""
