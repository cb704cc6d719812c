"""From a topology (plain data) to running hosts joined by wires, and back to nothing."""
