"""How a round is trained. `ddp` is one way; every way follows the protocol `RoundMethod` in `round`."""
