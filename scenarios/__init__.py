"""What a run proves: one scenario a claim, each run on every example that the claim is made of."""
