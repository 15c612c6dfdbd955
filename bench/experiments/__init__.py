"""What our pair must stand that no table of rates shows: many connections, a reader that stalls, very many clients."""
