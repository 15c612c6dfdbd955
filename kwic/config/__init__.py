"""Floor 0: what was asked. Units, addresses, the model, the reader (XML to model), the checks."""
