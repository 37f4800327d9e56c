"""Where does a step run? Engines and what they need: images, logs, limits, sweeping."""
