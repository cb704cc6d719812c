"""Probes and observers bring about what an episode needs and write down what was seen. They judge nothing."""
