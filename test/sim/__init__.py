"""A network and its hosts in memory, for simulations that replay exactly."""
