"""One example: read as it stands, submitted to Nomad, followed to the state that its scenario needs."""
