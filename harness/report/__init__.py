"""What does a person or a machine see of a run? Renderers of its events."""
