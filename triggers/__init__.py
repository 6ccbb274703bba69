"""What turns the outside world into runs: the dispatcher of events, webhook sources, row watches."""
