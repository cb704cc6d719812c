"""What a scenario sees, wherever it runs: Nomad, the tailnet, the internet. Protocols, and the lab's own."""
