"""Claims: pure functions from a history and an expectation to a verdict. No Docker, no clock, no network."""
