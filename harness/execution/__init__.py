"""How does a run proceed? From a definition to events and a result."""
