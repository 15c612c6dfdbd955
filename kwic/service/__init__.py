"""Floor 2: what starts and stops. The gateway and everything below it in Twisted's service tree."""
